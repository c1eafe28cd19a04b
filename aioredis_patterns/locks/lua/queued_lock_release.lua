-- Give back what a token holds of a lock, and let in who is next.
--
-- KEYS
--   1 lock     string: token, fence and owner of the writer
--   2 fence    string: integer, the newest fence of this lock
--   3 readers  zset: tokens, by the ends of their leases (us)
--   4 line     zset: who waits (mode, token, inbox and owner), by place
--   5 beats    zset: who waits, by the time until which it counts as alive (us)
-- ARGV
--   1 mode     w when it writes, r when it reads
--   2 token    of the holder
-- Returns
--   integer: 1 when the token held it, 0 when it did not
local lock, fence, readers, line, beats = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local mode, token = ARGV[1], ARGV[2]

local now = clock()
prune(readers, line, beats, now)
local writes = fence_of(redis.call('GET', lock), token)
if writes then redis.call('DEL', lock) end
local reads = redis.call('ZREM', readers, token) == 1
admit(lock, fence, readers, line, beats, now)
return (writes or mode == 'r' and reads) and 1 or 0
