-- Gives a reservation back, if nothing has changed since it was made.
-- KEYS
--   1 state  string
-- ARGV
--   1 mine    string, the state that the reservation left
--   2 before  string, the state that it found; empty when there was none
-- Returns
--   1 given  1 or 0
local state = KEYS[1]
local mine, before = ARGV[1], ARGV[2]

if redis.call('GET', state) ~= mine then
  return 0
end
if before == '' then
  return redis.call('DEL', state)
end
redis.call('SET', state, before, 'KEEPTTL')
return 1
