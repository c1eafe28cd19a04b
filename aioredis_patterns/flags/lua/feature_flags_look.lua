-- Reads how one flag is set.
-- KEYS
--   1 flags  hash, how each flag is set
-- ARGV
--   1 flag  its name
-- Returns
--   how it is set, empty where there is no such flag
local flags = KEYS[1]
local flag = ARGV[1]

return redis.call('HGET', flags, flag) or ''
