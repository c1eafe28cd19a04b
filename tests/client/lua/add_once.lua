-- Count an operation once, however often it is sent.
--
-- KEYS
--   1  counter  string  how many operations there were
--   2  seen     set     their ids
-- ARGV
--   1  operation_id  string  who it is
--   2  ttl_ms        int     how long both live
-- Returns
--   the count
local counter, seen = KEYS[1], KEYS[2]
local operation_id, ttl_ms = ARGV[1], tonumber(ARGV[2])
if redis.call('SADD', seen, operation_id) == 0 then
    return tonumber(redis.call('GET', counter))
end
redis.call('PEXPIRE', seen, ttl_ms)
local count = redis.call('INCR', counter)
redis.call('PEXPIRE', counter, ttl_ms)
return count
