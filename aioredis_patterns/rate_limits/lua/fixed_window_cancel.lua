-- Gives a reservation back, if nothing has changed since it was made.
-- KEYS
--   1 window  string
-- ARGV
--   1 mine     string, the state that the reservation left
--   2 due      us, when that expires
--   3 before   string, the state that it found
--   4 earlier  ms that it expired earlier
-- Returns
--   1 given  1 or 0
local window = KEYS[1]
local mine, due, before, earlier = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

local left = redis.call('PTTL', window)
-- The time of a key's end comes as ms from now, and the two calls may differ by one.
local same = redis.call('GET', window) == mine and math.abs(server_us() + left * 1000 - due) <= 3000
if not same or left - earlier < 1 then
  return 0
end
redis.call('SET', window, before, 'PX', string.format('%.0f', left - earlier))
return 1
