-- Reads which flags a user was granted.
-- KEYS
--   1 bits  string, a bit for each flag
-- Returns
--   the string, empty where there is none
local bits = KEYS[1]

return redis.call('GET', bits) or ''
