-- Ends the fetching from a followed feed, all of whose items have been brought.
-- KEYS
--   1 following  hash, token of each followed feed
--   2 fetched    set, followed feeds whose items are not brought
--   3 state      hash, the time of the newest item that was dropped of each list
-- ARGV
--   1 name   of the followed feed
--   2 token  of the call that brought its items
--   3 lost   us, how new the newest item is that it has dropped; 0 when none was
--   4 ttl    ms; 0 for ever
-- Returns
--   integer: 1 when it is followed by this call still
local following, fetched, state = KEYS[1], KEYS[2], KEYS[3]
local name, token, lost, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

if redis.call('HGET', following, name) ~= token then return 0 end
redis.call('SREM', fetched, name)
lose(state, 'inbox', lost, ttl)
return 1
