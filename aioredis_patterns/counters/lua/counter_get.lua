-- Reads a counter.
-- KEYS
--   1 counter  string, an integer
-- Returns
--   integer as text: what it has
local counter = KEYS[1]

return redis.call('GET', counter) or '0'
