-- Has a feed follow another, whose items it fetches from now on.
-- KEYS
--   1 following  hash, token of each followed feed
--   2 fetched    set, followed feeds whose items are not brought
-- ARGV
--   1 name   of the other feed
--   2 token  of this call
-- Returns
--   integer: 2 when it is new, 1 when it was followed and fetched, 0 when its items are brought already
local following, fetched = KEYS[1], KEYS[2]
local name, token = ARGV[1], ARGV[2]

local is_new = redis.call('HEXISTS', following, name) == 0
-- Also when all is as it should be: an unfollow that was meant for the call before ends this one no more.
redis.call('HSET', following, name, token)
if not is_new and redis.call('SISMEMBER', fetched, name) == 0 then return 0 end
redis.call('SADD', fetched, name)
return is_new and 2 or 1
