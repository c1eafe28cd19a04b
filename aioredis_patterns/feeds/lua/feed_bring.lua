-- Brings items of a followed feed, unless it is not followed any more.
-- KEYS
--   1 inbox      zset, items of followed feeds
--   2 items      hash, what is in them
--   3 state      hash, the time of the newest item that was dropped
--   4 following  hash, token of each followed feed
-- ARGV
--   1 name     of the followed feed
--   2 most     items that are kept
--   3 ttl      ms; 0 for ever
--   4.. item   its member and its value
-- Returns
--   integer: 1 when it is followed
local inbox, items, state, following = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, most, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

if redis.call('HEXISTS', following, name) == 0 then return 0 end
for at = 4, #ARGV, 2 do put(inbox, items, state, 'inbox', ARGV[at], ARGV[at + 1], most, ttl) end
return 1
