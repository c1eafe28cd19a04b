-- Take the outermost item of a list when it is the caller's turn, or stand in line for one.
--
-- KEYS
--   1 list     list: items
--   2 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 side     left or right
--   2 inbox    channel of the client, which is told when there are items
--   3 since    us, when it began to wait; 0 when it begins now
--   4 late     1 when those before it have had their time, else 0
-- Returns
--   list: when it began to wait (us), and the item when there is one for it
local list, waiters = KEYS[1], KEYS[2]
local side, inbox, since, late = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if since == '0' then since = string.format('%.0f', clock()) end
stand(waiters, inbox, since)
local before = late == '1' and 0 or redis.call('ZRANK', waiters, inbox)
if redis.call('LLEN', list) <= before then return { since } end
local item
if side == 'left' then
  item = redis.call('LPOP', list)
else
  item = redis.call('RPOP', list)
end
redis.call('ZREM', waiters, inbox)
announce(list, waiters)
return { since, item }
