-- Read the outermost item of a list, and how many there are.
--
-- KEYS
--   1 list  list: items
-- ARGV
--   1 at    0 for the left end, -1 for the right
-- Returns
--   list: how many items there are, and the item when there is one
local list = KEYS[1]
local at = ARGV[1]

return { redis.call('LLEN', list), redis.call('LINDEX', list, at) }
