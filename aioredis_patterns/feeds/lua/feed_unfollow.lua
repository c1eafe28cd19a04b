-- Tells by which call a feed is followed, and ends that following, whose items vanish.
-- KEYS
--   1 following  hash, token of each followed feed
--   2 fetched    set, followed feeds whose items are not brought
--   3 inbox      zset, items of followed feeds
--   4 items      hash, what is in them
-- ARGV
--   1 name    of the other feed
--   2 source  the same, escaped
--   3 ended   the token of the call that began it; empty to end nothing
-- Returns
--   text: the token of the call by which it is followed; empty when it is not
local following, fetched, inbox, items = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, source, ended = ARGV[1], ARGV[2], ARGV[3]

local token = redis.call('HGET', following, name)
if not token then return '' end
if token ~= ended then return token end
local head = source .. '\t'
for _, member in ipairs(redis.call('ZRANGE', inbox, 0, -1)) do
  if string.sub(member, 14, 13 + #head) == head then
    redis.call('ZREM', inbox, member)
    redis.call('HDEL', items, string.sub(member, 14))
  end
end
redis.call('HDEL', following, name)
redis.call('SREM', fetched, name)
return token
