-- Notes a hit, if there is room for it in the period up to now.
-- KEYS
--   1 log  list
-- ARGV
--   1 limit   units
--   2 period  us
--   3 most    us that a reservation may be ahead
--   4 cost    units
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 retry      us until the same hit passes; 0 it did, -1 never
--   4 reset      us until nothing is used
local log = KEYS[1]
local limit, period, most, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local now = server_us()
local size, total, last, pending = read_log(log, now)
local at = math.max(now, last)
local passed, gone = passed_hits(log, size, at, period)
local used, ahead = total - gone, pending and most or period
local room = pending and 0 or math.max(limit - used, 0)
if cost > room then
  local reset, left = keeping(last, now, period, ahead), redis.call('PTTL', log)
  if left ~= -2 and math.abs(left - reset / 1000) > 5 then
    expire_log(log, reset)
  end
  local turn = math.max(at, freed(log, passed, size, used + cost - limit, period)) - now
  local retry = math.min(turn, reset + 3000)
  return { 0, room, cost > limit and -1 or retry, math.max(reset, retry) }
end

append(log, size, passed, at, cost, used + cost)
local reset = keeping(at, now, period, ahead)
expire_log(log, reset)
return { 1, room - cost, 0, reset }
