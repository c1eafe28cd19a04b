-- Takes a follower off the list of those to whom items are brought, unless it has followed anew.
-- KEYS
--   1 followers  hash, token of each follower to whom items are brought
-- ARGV
--   1 name   of the follower
--   2 token  with which it was entered
-- Returns
--   integer: 1 when it was on the list
local followers = KEYS[1]
local name, token = ARGV[1], ARGV[2]

if redis.call('HGET', followers, name) ~= token then return 0 end
return redis.call('HDEL', followers, name)
