-- Drops the oldest entries of a log: beyond a length, beyond an age, or those that every live group is done with.
--
-- KEYS
--   1 log  stream
-- ARGV
--   1 length  entries to keep; empty for any number
--   2 age     ms; empty for any
--   3 acked   1 to drop what every live group has acknowledged
--   4 dead    ms without a sign of its consumers after which a group is not waited for
-- Returns
--   integer: how many were dropped
local log = KEYS[1]
local length, age, acked, dead = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local function named(flat, name)
  for at = 1, #flat, 2 do
    if flat[at] == name then return flat[at + 1] end
  end
end
local function less(one, other)
  local ms, number = string.match(one, '(%d+)-(%d+)')
  local other_ms, other_number = string.match(other, '(%d+)-(%d+)')
  ms, other_ms = tonumber(ms), tonumber(other_ms)
  return ms < other_ms or ms == other_ms and tonumber(number) < tonumber(other_number)
end
local function live(group)
  local idle = 0
  for at, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', log, group)) do
    local its = named(consumer, 'idle')
    idle = at == 1 and its or math.min(idle, its)
  end
  return idle < dead
end

if redis.call('EXISTS', log) == 0 then return 0 end
local dropped, oldest = 0, nil
if length ~= '' then dropped = redis.call('XTRIM', log, 'MAXLEN', '=', length) end
if age ~= '' then
  local since = math.max(clock() / 1000 - age, 0)
  dropped = dropped + redis.call('XTRIM', log, 'MINID', string.format('%.0f', since))
end
if acked ~= '1' then return dropped end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', log)) do
  local name, needed = named(group, 'name'), named(group, 'last-delivered-id')
  local summary = redis.call('XPENDING', log, name)
  if summary[1] > 0 then needed = summary[2] end
  if live(name) and (not oldest or less(needed, oldest)) then oldest = needed end
end
if not oldest or oldest == '0-0' then return dropped end
return dropped + redis.call('XTRIM', log, 'MINID', oldest)
