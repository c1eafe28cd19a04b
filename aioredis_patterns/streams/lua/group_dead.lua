-- Lists dead letters of a group, or drops them.
--
-- KEYS
--   1 dead  stream: the dead letters of the group
-- ARGV
--   1 after   id of the letter before the first
--   2 count   letters at most
--   3.. drop  ids of letters that are dropped
-- Returns
--   list: how many were dropped; then of each letter its id, and that of its entry, its attempts, reason and death (us),
--   its key, headers and payload
local dead = KEYS[1]
local after, count = ARGV[1], ARGV[2]

local found = {0}
if #ARGV > 2 then found[1] = redis.call('XDEL', dead, unpack(ARGV, 3)) end
for _, letter in ipairs(redis.call('XRANGE', dead, '(' .. after, '+', 'COUNT', count)) do
  found[#found + 1] = letter[1]
  for _, name in ipairs({'id', 'attempts', 'reason', 'died', 'key', 'headers', 'payload'}) do
    found[#found + 1] = field(letter[2], name)
  end
end
return found
