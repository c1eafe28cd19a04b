-- Let the one who writes go on as a reader, and let in who may read with it.
--
-- KEYS
--   1 lock     string: token, fence and owner of the writer
--   2 fence    string: integer, the newest fence of this lock
--   3 readers  zset: tokens, by the ends of their leases (us)
--   4 line     zset: who waits (mode, token, inbox and owner), by place
--   5 beats    zset: who waits, by the time until which it counts as alive (us)
-- ARGV
--   1 token    of the writer
--   2 lease    ms
-- Returns
--   integer: 1 when it reads now, 0 when it held nothing any more
local lock, fence, readers, line, beats = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token, lease = ARGV[1], tonumber(ARGV[2])

local now = clock()
prune(readers, line, beats, now)
local writes = fence_of(redis.call('GET', lock), token)
if not writes and not redis.call('ZSCORE', readers, token) then return 0 end

read(readers, token, now, lease)
if writes then redis.call('DEL', lock) end
admit(lock, fence, readers, line, beats, now)
return 1
