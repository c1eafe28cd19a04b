-- Take items from one end of a list.
--
-- KEYS
--   1 list   list: items
-- ARGV
--   1 side   left or right
--   2 count  items at most
-- Returns
--   list of strings: the items, the outermost first
local list = KEYS[1]
local side, count = ARGV[1], tonumber(ARGV[2])

local items
if side == 'left' then
  items = redis.call('LRANGE', list, 0, count - 1)
  redis.call('LTRIM', list, count, -1)
  return items
end
items = redis.call('LRANGE', list, -count, -1)
redis.call('LTRIM', list, 0, -count - 1)
for at = 1, math.floor(#items / 2) do
  items[at], items[#items + 1 - at] = items[#items + 1 - at], items[at]
end
return items
