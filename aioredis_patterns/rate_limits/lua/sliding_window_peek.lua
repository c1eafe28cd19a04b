-- Says what a hit would be answered, and writes nothing.
-- KEYS
--   1 windows  string
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
local windows = KEYS[1]
local limit, period, most, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local now = server_us()
local start, before, count, at, due = read_sliding(redis.call('GET', windows), now, period)
local room = due and 0 or math.max(sliding_room(start, before, count, at, limit, period), 0)
local reset = sliding_reset(start, before, count, now, period)
if cost <= room then
  return { 1, room, 0, reset }
end
return { 0, room, cost > limit and -1 or at - now + sliding_wait(start, before, count, at, limit, period, cost), reset }
