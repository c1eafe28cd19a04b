-- Ends a delivery: the entry is done with, for this group.
--
-- KEYS
--   1 log      stream
--   2 later    zset: ids that were given back or held longer, by the time they may be claimed (us)
--   3 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 group     text
--   2 consumer  text
--   3 id        of the entry
--   4 attempt   the delivery's number
--   5 ordered   1 to tell who waits for the next entry
-- Returns
--   integer: 1; 0 when another has it, or nobody
local log, later, waiters = KEYS[1], KEYS[2], KEYS[3]
local group, consumer, id, attempt, ordered = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if not held(log, group, consumer, id, attempt) then return 0 end
redis.call('XACK', log, group, id)
redis.call('ZREM', later, id)
if ordered == '1' then ring(log, waiters) end
return 1
