-- Reads counters, and resets them.
-- KEYS
--   1 counter  string, an integer
-- ARGV
--   1 resets  1 to begin anew
-- Returns
--   integer as text: what it had
local counter = KEYS[1]
local resets = ARGV[1]

local count = redis.call('GET', counter) or '0'
if resets == '1' then redis.call('DEL', counter) end
return count
