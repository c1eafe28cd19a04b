-- Tells how many members a set has, and which of some are among them.
-- KEYS
--   1 members  set
-- ARGV
--   1 sample  how many members to draw
--   2.. member  text, each to be looked for
-- Returns
--   list: the number of members, then 1 or 0 for each that was looked for, then the drawn ones
local members = KEYS[1]
local sample = ARGV[1]

local found = { redis.call('SCARD', members) }
for at = 2, #ARGV do
  found[#found + 1] = redis.call('SISMEMBER', members, ARGV[at])
end
for _, member in ipairs(redis.call('SRANDMEMBER', members, sample)) do
  found[#found + 1] = member
end
return found
