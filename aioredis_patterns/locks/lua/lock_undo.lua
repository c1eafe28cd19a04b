-- Take back whatever an acquisition that was given up has left: the lock itself, and its place among the waiters.
--
-- KEYS
--   1 lock     string: token, fence and owner
--   2 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 token    of the acquisition
--   2 inbox    channel of the client; empty while other tasks of it wait
-- Returns
--   integer: 1 when the token held the lock, 0 when it did not
local lock, waiters = KEYS[1], KEYS[2]
local token, inbox = ARGV[1], ARGV[2]

local held = redis.call('GET', lock)
local mine = fence_of(held, token)
if mine then redis.call('DEL', lock) end
if inbox ~= '' then redis.call('ZREM', waiters, inbox) end
-- The wake-up of a free lock may have been meant for the one that gave up.
if mine or not held then wake(lock, waiters) end
return mine and 1 or 0
