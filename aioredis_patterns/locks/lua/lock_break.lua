-- Free a lock whoever holds it, and wake who has waited longest.
--
-- KEYS
--   1 lock     string: token, fence and owner
--   2 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- Returns
--   integer: 1 when it was held, 0 when it was free
local lock, waiters = KEYS[1], KEYS[2]

if redis.call('DEL', lock) == 0 then return 0 end
wake(lock, waiters)
return 1
