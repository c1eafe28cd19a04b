-- Push items at one end of a list, and drop from the other what is too many, or refuse them all.
--
-- KEYS
--   1 list     list: items
--   2 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 side     left or right
--   2 most     items that the list may have; 0 for any number
--   3 full     drop or refuse
--   4.. item   each, in the order in which they are pushed
-- Returns
--   integer: how many items there are now; 0 when they were refused
local list, waiters = KEYS[1], KEYS[2]
local side, most, full = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local items = { unpack(ARGV, 4) }
if most > 0 and full == 'refuse' and redis.call('LLEN', list) + #items > most then return 0 end
if side == 'left' then
  redis.call('LPUSH', list, unpack(items))
else
  redis.call('RPUSH', list, unpack(items))
end
cap(list, side, most)
announce(list, waiters)
return redis.call('LLEN', list)
