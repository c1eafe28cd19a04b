-- Takes hits back from the window that counts them.
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
--   3 retry      us until a hit of that cost passes; 0 now, -1 never
--   4 reset      us until nothing is used
local window = KEYS[1]
local limit, period, most, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local left = redis.call('PTTL', window)
local count, ends, length, ahead = read_window(redis.call('GET', window), left, period)
count = math.max(count - cost, 0)
if count == 0 and ahead then
  -- Nothing is left of the reservations in the last window; the one before is full.
  count, ends = limit, math.max(ends - length, 1)
  ahead = ends >= length
elseif count == 0 then
  redis.call('DEL', window)
  return { cost > limit and 0 or 1, limit, cost > limit and -1 or 0, 0 }
end
write_window(window, count, ends, left, ahead, length)
local room, reset = ahead and 0 or math.max(limit - count, 0), until_over(ends)
if cost <= room then
  return { 1, room, 0, reset }
end
local turn = (ahead and cost <= limit - count) and ends - length or ends
return { 0, room, cost > limit and -1 or until_over(turn), reset }
