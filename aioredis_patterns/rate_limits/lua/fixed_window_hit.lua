-- Counts a hit in the window that runs, if there is room in it.
-- KEYS
--   1 window  string
-- ARGV
--   1 limit    units
--   2 period   ms
--   3 most     ms until the end of the last window that may have reservations
--   4 cost     units
--   5 charged  1 where a denied hit counts too
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 retry      us until the same hit passes; 0 it did, -1 never
--   4 reset      us until nothing is used
local window = KEYS[1]
local limit, period, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local cost, charged = tonumber(ARGV[4]), ARGV[5]

local left = redis.call('PTTL', window)
local count, ends, length, ahead = read_window(redis.call('GET', window), left, period)
local room = ahead and 0 or math.max(limit - count, 0)
if cost > room then
  local counted = charged == '1' and room > 0
  count, room = counted and limit or count, counted and 0 or room
  if counted or (left ~= -2 and left ~= ends) then
    write_window(window, count, ends, left, ahead, length)
  end
  local turn = (ahead and cost <= limit - count) and ends - length or ends
  return { 0, room, cost > limit and -1 or until_over(turn), count == 0 and 0 or until_over(ends) }
end

write_window(window, count + cost, ends, left, false, period)
return { 1, room - cost, 0, until_over(ends) }
