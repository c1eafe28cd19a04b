-- Stores a whole record.
-- KEYS
--   1 record  hash
-- ARGV
--   1 ttl     ms that it lives; 0 for ever
--   2.. field  each field, then its value
-- Returns
--   integer: 1
local record = KEYS[1]
local ttl = tonumber(ARGV[1])

redis.call('DEL', record)
redis.call('HSET', record, unpack(ARGV, 2))
if ttl > 0 then redis.call('PEXPIRE', record, ttl) end
return 1
