-- Counts a hit in the window that runs, if there is room in it.
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
--   3 retry      us until the same hit passes; 0 it did, -1 never
--   4 reset      us until nothing is used
local window = KEYS[1]
local limit, period, most, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local left = redis.call('PTTL', window)
local count, ends, ahead = read_window(redis.call('GET', window), left, period, most)
local room = ahead and 0 or limit - count
if cost > room then
  if left ~= -2 and left ~= ends then
    redis.call('PEXPIRE', window, string.format('%.0f', ends))
  end
  local turn = (ahead and cost <= limit - count) and ends - period or ends
  return { 0, math.max(room, 0), cost > limit and -1 or (turn + 1) * 1000, left == -2 and 0 or (ends + 1) * 1000 }
end

write_window(window, count + cost, ends, left, false)
return { 1, room - cost, 0, (ends + 1) * 1000 }
