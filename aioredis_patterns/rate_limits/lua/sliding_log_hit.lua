-- Notes a hit, if there is room for it in the period up to now.
-- KEYS
--   1 log  list
-- ARGV
--   1 limit    units
--   2 period   us
--   3 most     us that a reservation may be ahead
--   4 cost     units
--   5 charged  1 where a denied hit counts too
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 retry      us until the same hit passes; 0 it did, -1 never
--   4 reset      us until nothing is used
local log = KEYS[1]
local limit, period, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local cost, charged = tonumber(ARGV[4]), ARGV[5]

local now = server_us()
local size, total, last, noted, pending = read_log(log, now)
local at = math.max(now, last)
local passed, gone = passed_hits(log, size, at, period)
local used = total - gone
local room = pending and 0 or math.max(limit - used, 0)
if cost <= room then
  append(log, size, passed, at, cost, summary(used + cost))
  local reset = keeping(at, at, now, period)
  expire_log(log, reset)
  return { 1, room - cost, 0, reset }
end

if charged == '1' and not pending then
  -- It takes the place of the oldest, so that never more than the limit counts.
  local weight = math.min(cost, limit)
  local excess = math.max(math.min(used + weight - limit, used), 0)
  passed = take_oldest(log, passed, size, excess)
  append(log, size, passed, at, weight, summary(used - excess + weight))
  size, passed, used, room, last, noted = size - passed + 1, 0, used - excess + weight, 0, at, at
  expire_log(log, keeping(at, at, now, period))
end
local reset, left = keeping(last, noted, now, period), redis.call('PTTL', log)
if left == -1 or math.abs(left - reset / 1000) > 5 then
  expire_log(log, reset)
end
local turn = math.max(at, freed(log, passed, size, used + cost - limit, period)) - now
local retry = math.min(turn, reset + 3000)
return { 0, room, cost > limit and -1 or retry, math.max(reset, retry) }
