-- Read who writes under a lock, and how many read.
--
-- KEYS
--   1 lock     string: token, fence and owner of the writer
--   2 readers  zset: tokens, by the ends of their leases (us)
-- Returns
--   list: value (string, empty when nobody writes), time that the writer has left (ms), how many read
local lock, readers = KEYS[1], KEYS[2]

local reading = redis.call('ZCOUNT', readers, string.format('(%.0f', clock()), '+inf')
return { redis.call('GET', lock) or '', redis.call('PTTL', lock), reading }
