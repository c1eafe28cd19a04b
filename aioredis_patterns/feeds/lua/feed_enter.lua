-- Enters a follower to whom items are brought, unless there are as many as there may be.
-- KEYS
--   1 followers  hash, token of each follower to whom items are brought
-- ARGV
--   1 name   of the follower
--   2 token  of its call
--   3 limit  followers
-- Returns
--   integer: 1 when items are brought to it
local followers = KEYS[1]
local name, token, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])

if redis.call('HEXISTS', followers, name) == 0 and redis.call('HLEN', followers) >= limit then return 0 end
redis.call('HSET', followers, name, token)
return 1
