-- Read who holds a lock, and for how long.
--
-- KEYS
--   1 lock  string: token, fence and owner
-- Returns
--   list: value (string, empty when the lock is free), time left (ms)
local lock = KEYS[1]

return { redis.call('GET', lock) or '', redis.call('PTTL', lock) }
