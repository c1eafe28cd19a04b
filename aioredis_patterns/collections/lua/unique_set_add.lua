-- Adds members to a set; one that is created expires.
-- KEYS
--   1 members  set
-- ARGV
--   1 ttl  ms that a set lives from its first member; 0 for ever
--   2.. member  text, each
-- Returns
--   integer: how many of them were new
local members = KEYS[1]
local ttl = tonumber(ARGV[1])

local is_new = redis.call('EXISTS', members) == 0
local added = redis.call('SADD', members, unpack(ARGV, 2))
if is_new and ttl > 0 then redis.call('PEXPIRE', members, ttl) end
return added
