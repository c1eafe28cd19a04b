-- Says what a hit would be answered, and writes nothing.
-- KEYS
--   1 window  string
-- ARGV
--   1 limit   units
--   2 period  ms
--   3 most    ms until the end of the last window that may have reservations
--   4 cost    units
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 retry      us until the hit passes; 0 now, -1 never
--   4 reset      us until nothing is used
local window = KEYS[1]
local limit, period, most, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local left = redis.call('PTTL', window)
local count, ends, length, ahead = read_window(redis.call('GET', window), left, period)
local room = ahead and 0 or math.max(limit - count, 0)
local reset = count == 0 and 0 or until_over(ends)
if cost <= room or cost == 0 then
  return { 1, room, 0, reset }
end
local turn = (ahead and cost <= limit - count) and ends - length or ends
return { 0, room, cost > limit and -1 or until_over(turn), reset }
