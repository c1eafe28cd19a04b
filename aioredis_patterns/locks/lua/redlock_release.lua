-- Free a lock on this server, if the token has it here.
--
-- KEYS
--   1 lock   string: the token
-- ARGV
--   1 token  of the holder
-- Returns
--   integer: 1 when the token had it, 0 when it did not
local lock = KEYS[1]
local token = ARGV[1]

if redis.call('GET', lock) ~= token then return 0 end
return redis.call('DEL', lock)
