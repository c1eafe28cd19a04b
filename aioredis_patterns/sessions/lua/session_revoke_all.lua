-- Ends all sessions of a user, but one that is to stay: by a new epoch, which none of the others has.
--
-- KEYS
--   1 epochs  hash
--   2 index   zset
--   3 kept    hash, the session that stays; of no session where none does
-- ARGV
--   1 user    text
--   2 fresh   16 characters, the new epoch
--   3 digest  of the token of the session that stays
-- Returns
--   list: the digests of the sessions that were ended; or moved, the digest of the token that replaced the one that is to
--   stay and may still be used, to be called with
local epochs, index, kept = KEYS[1], KEYS[2], KEYS[3]
local user, fresh, digest = ARGV[1], ARGV[2], ARGV[3]

local head, successor, grace = unpack(redis.call('HMGET', kept, 'head', 'successor', 'grace'))
if successor and tonumber(grace) > server_us() then return {'moved', successor} end
local last = owner_of(head, epochs) == user and tonumber(part(head, LAST))
-- A call that is repeated leaves alone who logged in meanwhile.
if last and part(head, 1) == fresh then return {} end

if last then redis.call('ZREM', index, digest) end
local ended = redis.call('ZRANGE', index, 0, -1)
redis.call('DEL', index)
if not last then
  redis.call('HDEL', epochs, user)
  return ended
end
redis.call('HSET', epochs, user, fresh .. ':' .. stamped(last))
redis.call('HSET', kept, 'head', with(head, 1, fresh))
redis.call('ZADD', index, stamped(last), digest)
redis.call('PEXPIREAT', index, string.format('%.0f', math.ceil(last / 1000)))
return ended
