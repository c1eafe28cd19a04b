-- Ends a session, and leaves a mark by which what comes late is refused.
--
-- KEYS
--   1 session  hash
-- ARGV
--   1 mark       ms that the mark stays
--   2 operation  by which a call that is repeated knows its own mark
-- Returns
--   list: ended, its user; moved, the digest of the token that replaced this one; none when there is neither
local session = KEYS[1]
local mark, operation = ARGV[1], ARGV[2]

local head, successor, revoked, user = unpack(redis.call('HMGET', session, 'head', 'successor', 'revoked', 'user'))
if successor then return {'moved', successor} end
if revoked == operation then return {'ended', user} end
if not head then return {} end

user = user_of(head) or ''
redis.call('DEL', session)
redis.call('HSET', session, 'revoked', operation, 'user', user)
redis.call('PEXPIRE', session, mark)
return {'ended', user}
