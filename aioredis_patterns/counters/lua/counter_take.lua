-- Ends a counter.
-- KEYS
--   1 counter  string, an integer
-- Returns
--   integer as text: what it had
local counter = KEYS[1]

local count = redis.call('GET', counter) or '0'
redis.call('DEL', counter)
return count
