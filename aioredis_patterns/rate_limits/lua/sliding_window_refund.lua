-- Takes hits back, first from the window that runs, then from the one before.
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
--   3 retry      us until a hit of that cost passes; 0 now, -1 never
--   4 reset      us until nothing is used
local windows = KEYS[1]
local limit, period, most, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local now = server_us()
local start, before, count, at, due = read_sliding(redis.call('GET', windows), now, period)
local newer = math.min(cost, count)
count, before = count - newer, math.max(before - (cost - newer), 0)
local reset = sliding_reset(start, before, count, now, period)
local room = (due and reset > 0) and 0 or math.max(sliding_room(start, before, count, at, limit, period), 0)
if reset == 0 then
  redis.call('DEL', windows)
else
  write_sliding(windows, start, before, count, period, due, now, reset)
end
if cost <= room then
  return { 1, room, 0, reset }
end
return { 0, room, cost > limit and -1 or at - now + sliding_wait(start, before, count, at, limit, period, cost), reset }
