-- Makes one follow another, or not any more: both directions at once.
-- KEYS
--   1 following  set, whom the one follows
--   2 followers  set, who follows the other
-- ARGV
--   1 one      text
--   2 other    text
--   3 follows  1 or 0
-- Returns
--   integer: 1 when that is new
local following, followers = KEYS[1], KEYS[2]
local one, other, follows = ARGV[1], ARGV[2], ARGV[3]

if follows == '1' then
  redis.call('SADD', followers, one)
  return redis.call('SADD', following, other)
end
redis.call('SREM', followers, one)
return redis.call('SREM', following, other)
