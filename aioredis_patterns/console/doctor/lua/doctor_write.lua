-- Writes a key that expires, at the server's time, as every pattern does.
-- KEYS
--   1 key  string
-- ARGV
--   1 ttl_ms  ms
-- Returns
--   integer  the server's time in microseconds
local key = KEYS[1]
local ttl_ms = ARGV[1]

local time = redis.call('TIME')
redis.call('SET', key, '', 'PX', ttl_ms)
return time[1] * 1000000 + time[2]
