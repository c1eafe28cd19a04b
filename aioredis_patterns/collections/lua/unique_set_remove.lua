-- Removes members from a set.
-- KEYS
--   1 members  set
-- ARGV
--   1 member  text
--   2.. other  text, each
-- Returns
--   integer: how many of them were there
local members = KEYS[1]
local member = ARGV[1]

return redis.call('SREM', members, member, unpack(ARGV, 2))
