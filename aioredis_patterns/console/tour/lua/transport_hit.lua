-- Counts a hit, as the simplest limiter would.
-- KEYS
--   1 counter  string
-- ARGV
--   1 ttl_ms  ms
-- Returns
--   integer  hits so far
local counter = KEYS[1]
local ttl_ms = ARGV[1]

local hits = redis.call('INCR', counter)
if hits == 1 then
  redis.call('PEXPIRE', counter, ttl_ms)
end
return hits
