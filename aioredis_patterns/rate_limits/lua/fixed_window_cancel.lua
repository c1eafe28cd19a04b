-- Gives a reservation back, if nothing has changed since it was made.
-- KEYS
--   1 window  string
-- ARGV
--   1 mine    string, the count that the reservation left and the window's end (us)
--   2 before  string, the count that it found and how much earlier its window ends (ms)
-- Returns
--   1 given  1 or 0
local window = KEYS[1]
local mine, before = ARGV[1], ARGV[2]

local count, due = string.match(mine, '^(%S+) (%S+)$')
local found, earlier = string.match(before, '^(%S+) (%S+)$')
local left = redis.call('PTTL', window)
-- The time of a key's end comes as ms from now, and the two calls may differ by one.
if redis.call('GET', window) ~= count or math.abs(server_us() + left * 1000 - due) > 3000 or left - earlier < 1 then
  return 0
end
redis.call('SET', window, found, 'PX', string.format('%.0f', left - earlier))
return 1
