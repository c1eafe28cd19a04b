-- Push items at one end of a list, and drop from the other what is too many, or refuse them all.
--
-- KEYS
--   1 list    list: items
-- ARGV
--   1 side    left or right
--   2 most    items that the list may have; 0 for any number
--   3 full    drop or refuse
--   4.. item  each, in the order in which they are pushed
-- Returns
--   integer: how many items there are now; 0 when they were refused
local list = KEYS[1]
local side, most, full = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local items = { unpack(ARGV, 4) }
if most > 0 and full == 'refuse' and redis.call('LLEN', list) + #items > most then return 0 end
local length
if side == 'left' then
  length = redis.call('LPUSH', list, unpack(items))
  if most > 0 then redis.call('LTRIM', list, 0, most - 1) end
else
  length = redis.call('RPUSH', list, unpack(items))
  if most > 0 then redis.call('LTRIM', list, -most, -1) end
end
return most > 0 and math.min(length, most) or length
