-- Ends a session, and leaves a mark by which what comes late is refused.
--
-- KEYS
--   1 session  hash
-- ARGV
--   1 mark  ms that the mark stays
-- Returns
--   list: ended, its user; moved, the digest of the token that replaced this one; none when there is neither
local session = KEYS[1]
local mark = ARGV[1]

local head, successor = unpack(redis.call('HMGET', session, 'head', 'successor'))
if successor then return {'moved', successor} end
if not head then return {} end

redis.call('DEL', session)
redis.call('HSET', session, 'revoked', '1')
redis.call('PEXPIRE', session, mark)
return {'ended', user_of(head) or ''}
