-- Reads a feed's own items, for those who fetch them.
-- KEYS
--   1 posts  zset, the feed's own items
--   2 items  hash, what is in them
--   3 state  hash, the time of the newest item that was dropped
-- ARGV
--   1 time    us, older items are read; +inf for all
--   2 member  of the item before
--   3 count   items
-- Returns
--   1 lost   us, how new the newest item is that was dropped; empty when none was
--   2 found  list of members and values
local posts, items, state = KEYS[1], KEYS[2], KEYS[3]
local time, member, count = ARGV[1], ARGV[2], ARGV[3]

return { redis.call('HGET', state, 'posts') or '', older(posts, items, time, member, count) }
