-- Counts a hit, if there is room for it in the period up to now.
-- KEYS
--   1 windows  string
-- ARGV
--   1 limit   units
--   2 period  us
--   3 most    us that a reservation may be ahead
--   4 cost    units
--   5 charged  1 where a denied hit counts too
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 retry      us until the same hit passes; 0 it did, -1 never
--   4 reset      us until nothing is used
local windows = KEYS[1]
local limit, period, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local cost, charged = tonumber(ARGV[4]), ARGV[5]

local now = server_us()
local start, before, count, at, due, changed = read_sliding(redis.call('GET', windows), now, period)
local room = due and 0 or math.max(sliding_room(start, before, count, at, limit, period), 0)
if cost > room then
  local counted = charged == '1' and not due and count < limit
  count, room = counted and math.min(count + cost, limit) or count, counted and 0 or room
  local reset, left = sliding_reset(start, before, count, now, period), redis.call('PTTL', windows)
  if counted or changed or left == -1 or math.abs(left - reset / 1000) > 5 then
    write_sliding(windows, start, before, count, period, due, now, reset)
  end
  local retry = cost > limit and -1 or at - now + sliding_wait(start, before, count, at, limit, period, cost)
  return { 0, room, retry, reset }
end

count = count + cost
local reset = sliding_reset(start, before, count, now, period)
write_sliding(windows, start, before, count, period, due, now, reset)
return { 1, room - cost, 0, reset }
