-- Gives up the lead without a value, and wakes those who wait for one.
-- KEYS
--   1 lead  string
-- ARGV
--   1 token    16 characters
--   2 channel  name
-- Returns
--   integer  1 given up, 0 it was lost before
local lead = KEYS[1]
local token, channel = ARGV[1], ARGV[2]

if redis.call('GETRANGE', lead, 0, 15) ~= token then
  return 0
end
redis.call('DEL', lead)
redis.call('PUBLISH', channel, 'released')
return 1
