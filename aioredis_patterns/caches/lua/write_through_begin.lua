-- Takes a value out before the store is written, so that none is served or stored while it may be old.
-- KEYS
--   1 value    string
--   2 lead     string
--   3 writers  hash
-- ARGV
--   1 token     16 characters
--   2 lease_ms  ms
--   3 channel   name
-- Returns
--   integer  1
local value, lead, writers = KEYS[1], KEYS[2], KEYS[3]
local token, lease_ms, channel = ARGV[1], tonumber(ARGV[2]), ARGV[3]

redis.call('DEL', value)
if redis.call('DEL', lead) == 1 then
  redis.call('PUBLISH', channel, 'writing')
end
if is_alone(writers, token) then
  redis.call('HDEL', writers, CROSSED)
else
  redis.call('HSET', writers, CROSSED, '1')
end
redis.call('HSET', writers, token, string.format('%.0f', server_us() + lease_ms * 1000))
redis.call('PEXPIRE', writers, math.max(lease_ms, redis.call('PTTL', writers)))
return 1
