-- Prolongs the lease of a writer that still has it.
-- KEYS
--   1 writers  hash
-- ARGV
--   1 token     16 characters
--   2 lease_ms  ms
-- Returns
--   integer  1 prolonged, 0 it was lost
local writers = KEYS[1]
local token, lease_ms = ARGV[1], tonumber(ARGV[2])

if redis.call('HEXISTS', writers, token) == 0 then
  return 0
end
redis.call('HSET', writers, token, string.format('%.0f', server_us() + lease_ms * 1000))
return redis.call('PEXPIRE', writers, math.max(lease_ms, redis.call('PTTL', writers)))
