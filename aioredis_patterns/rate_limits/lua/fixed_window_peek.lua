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
local count, ends, ahead = read_window(redis.call('GET', window), left, period, most)
local room = ahead and 0 or math.max(limit - count, 0)
local reset = left == -2 and 0 or (ends + 1) * 1000
if cost <= room then
  return { 1, room, 0, reset }
end
local turn = (ahead and cost <= limit - count) and ends - period or ends
return { cost == 0 and 1 or 0, room, cost > limit and -1 or cost > 0 and (turn + 1) * 1000 or 0, reset }
