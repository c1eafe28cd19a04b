-- Move the outermost item of one list to an end of another, unless that is full and refuses it.
--
-- KEYS
--   1 source   list: items
--   2 target   list: items
--   3 waiters  zset: inboxes of the clients that wait for the target, by the time they began (us)
-- ARGV
--   1 from     left or right
--   2 to       left or right
--   3 most     items that the target may have; 0 for any number
--   4 full     drop or refuse
-- Returns
--   list: the item, when one was moved
local source, target, waiters = KEYS[1], KEYS[2], KEYS[3]
local from, to, most, full = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

if source ~= target and most > 0 and full == 'refuse' and redis.call('LLEN', target) >= most then return {} end
local item = redis.call('LMOVE', source, target, string.upper(from), string.upper(to))
if not item then return {} end
cap(target, to, most)
announce(target, waiters)
return { item }
