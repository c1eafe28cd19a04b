-- Look for a place in the line.
--
-- KEYS
--   1 line    zset: who waits (mode, token, inbox and owner), by place
-- ARGV
--   1 waiter  as it stands in the line
-- Returns
--   integer: 1 for the first, 0 for who does not stand in the line
local line = KEYS[1]
local waiter = ARGV[1]

return (redis.call('ZRANK', line, waiter) or -1) + 1
