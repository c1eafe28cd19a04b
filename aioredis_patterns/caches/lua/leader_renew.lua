-- Prolongs the lead of one who still has it.
-- KEYS
--   1 lead  string
-- ARGV
--   1 token     16 characters
--   2 lease_ms  ms
-- Returns
--   integer  1 prolonged, 0 it was lost
local lead = KEYS[1]
local token, lease_ms = ARGV[1], tonumber(ARGV[2])

if redis.call('GETRANGE', lead, 0, 15) ~= token then
  return 0
end
return redis.call('PEXPIRE', lead, lease_ms)
