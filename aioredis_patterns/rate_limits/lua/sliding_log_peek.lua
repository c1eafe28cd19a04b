-- Says what a hit would be answered, and writes nothing.
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
--   3 retry      us until the hit passes; 0 now, -1 never
--   4 reset      us until nothing is used
local log = KEYS[1]
local limit, period, most, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local now = server_us()
local size, total, last, noted, pending = read_log(log, now)
local at = math.max(now, last)
local passed, gone = passed_hits(log, size, at, period)
local used = total - gone
local room = pending and 0 or math.max(limit - used, 0)
local reset = keeping(last, noted, now, period)
if cost <= room then
  return { 1, room, 0, reset }
end
local turn = math.max(at, freed(log, passed, size, used + cost - limit, period)) - now
local retry = math.min(turn, reset + 3000)
return { 0, room, cost > limit and -1 or retry, math.max(reset, retry) }
