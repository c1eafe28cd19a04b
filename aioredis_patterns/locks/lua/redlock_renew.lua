-- Extend a lease on this server, if the token has the lock here.
--
-- KEYS
--   1 lock   string: the token
-- ARGV
--   1 token  of the holder
--   2 lease  ms
-- Returns
--   integer: 1 when extended, 0 when the lock is gone, -1 when it is another's
local lock = KEYS[1]
local token, lease = ARGV[1], ARGV[2]

local held = redis.call('GET', lock)
if not held then return 0 end
if held ~= token then return -1 end
redis.call('PEXPIRE', lock, lease)
return 1
