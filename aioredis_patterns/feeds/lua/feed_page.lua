-- Reads a feed's own items and those brought to it, and tells where others are to be fetched.
-- KEYS
--   1 posts    zset, the feed's own items
--   2 items    hash, what is in them
--   3 inbox    zset, items of followed feeds
--   4 theirs   hash, what is in them
--   5 state    hash, the time of the newest item that was dropped of each list
--   6 fetched  set, followed feeds whose items are not brought
-- ARGV
--   1 time    us, older items are read; +inf for all
--   2 member  of the item before
--   3 count   items of each list
-- Returns
--   1 lost     two texts (us), how new the newest item is that each list has dropped; empty when none was
--   2 found    list of members and values
--   3 brought  likewise
--   4 fetched  list of names
local posts, items, inbox, theirs, state, fetched = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local time, member, count = ARGV[1], ARGV[2], ARGV[3]

local lost = redis.call('HMGET', state, 'posts', 'inbox')
return {
  { lost[1] or '', lost[2] or '' },
  older(posts, items, time, member, count),
  older(inbox, theirs, time, member, count),
  redis.call('SMEMBERS', fetched),
}
