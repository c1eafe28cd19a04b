-- Ends all sessions of a user, but one that is to stay: by a new epoch, which none of the others has.
--
-- KEYS
--   1 epochs  hash
--   2 index   zset
--   3 kept    hash, the session that stays
-- ARGV
--   1 user    text
--   2 fresh   16 characters, the new epoch
--   3 digest  of the token of the session that stays; empty for none
-- Returns
--   list: the digests of the sessions that were ended
local epochs, index, kept = KEYS[1], KEYS[2], KEYS[3]
local user, fresh, digest = ARGV[1], ARGV[2], ARGV[3]

local head = digest ~= '' and redis.call('HGET', kept, 'head')
local stays = owner_of(head, epochs) == user
if stays then redis.call('ZREM', index, digest) end
local ended = redis.call('ZRANGE', index, 0, -1)

redis.call('DEL', index)
if not stays then
  redis.call('HDEL', epochs, user)
  return ended
end
local last = part(head, LAST)
redis.call('HSET', epochs, user, fresh .. ':' .. last)
redis.call('HSET', kept, 'head', with(head, 1, fresh))
redis.call('ZADD', index, last, digest)
redis.call('PEXPIREAT', index, string.format('%.0f', math.ceil(last / 1000)))
return ended
