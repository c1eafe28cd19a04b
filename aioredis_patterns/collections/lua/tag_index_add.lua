-- Gives an item tags.
-- KEYS
--   1 items  set, the items that have any tag
--   2 tags   set, the tags of the item
--   3.. tag  set, the items of each tag that is given
-- ARGV
--   1 item  text
--   2 most  tags that an item may have
--   3.. tag  text, each that is given
-- Returns
--   integer: how many of them were new to it; -1 where it would have too many
local items, tags = KEYS[1], KEYS[2]
local item, most = ARGV[1], tonumber(ARGV[2])

local count = redis.call('SCARD', tags)
for at = 3, #ARGV do
  count = count + 1 - redis.call('SISMEMBER', tags, ARGV[at])
end
if count > most then return -1 end
redis.call('SADD', items, item)
for at = 3, #KEYS do redis.call('SADD', KEYS[at], item) end
return redis.call('SADD', tags, unpack(ARGV, 3))
