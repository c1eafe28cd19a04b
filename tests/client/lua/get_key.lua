-- Read a key.
--
-- KEYS
--   1  key  string  what to read
-- ARGV
--   none
-- Returns
--   its value, nil when it is missing
local key = KEYS[1]
return redis.call('GET', key)
