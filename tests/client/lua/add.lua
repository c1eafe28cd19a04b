-- Add to a number.
--
-- KEYS
--   1  counter  string  the number
-- ARGV
--   1  amount  int  what to add
--   2  ttl_ms  int  how long it lives
-- Returns
--   the sum
local counter = KEYS[1]
local amount, ttl_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local sum = redis.call('INCRBY', counter, amount)
redis.call('PEXPIRE', counter, ttl_ms)
return sum
