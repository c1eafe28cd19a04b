-- Read dead letters, those that died first in front.
--
-- KEYS
--   1 dead      zset: ids of the dead letters by the time of their death (us)
--   2 messages  hash: records by id
--   3 index     hash: what is known of ids, tokens and dedup keys
-- ARGV
--   1 start     how many are left out
--   2 count     how many are read
-- Returns
--   list: for each its id, its death (us), its deliveries, the reason and the record
local dead, messages, index = KEYS[1], KEYS[2], KEYS[3]
local start, count = ARGV[1], ARGV[2]

local found = {}
local pairs_of = redis.call('ZRANGE', dead, start, start + count - 1, 'WITHSCORES')
for at = 1, #pairs_of, 2 do
  local id = pairs_of[at]
  found[#found + 1] = id
  found[#found + 1] = pairs_of[at + 1]
  found[#found + 1] = redis.call('HGET', index, 'a:' .. id) or '0'
  found[#found + 1] = redis.call('HGET', index, 'r:' .. id) or ''
  found[#found + 1] = redis.call('HGET', messages, id) or ''
end
return found
