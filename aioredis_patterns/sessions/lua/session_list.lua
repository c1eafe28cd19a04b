-- Tells which sessions a user has, and forgets those that have ended.
--
-- KEYS
--   1 index  zset
-- ARGV
--   1.. gone  digests that are known to have ended
-- Returns
--   list: digests, those that end first in front
local index = KEYS[1]

for _, gone in ipairs(ARGV) do
  redis.call('ZREM', index, gone)
end
redis.call('ZREMRANGEBYSCORE', index, '-inf', string.format('%.0f', server_us()))
return redis.call('ZRANGE', index, 0, -1)
