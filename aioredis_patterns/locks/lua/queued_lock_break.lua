-- Free a lock from everybody who holds it, to write or to read, and let in who is next.
--
-- KEYS
--   1 lock     string: token, fence and owner of the writer
--   2 fence    string: integer, the newest fence of this lock
--   3 readers  zset: tokens, by the ends of their leases (us)
--   4 line     zset: who waits (mode, token, inbox and owner), by place
--   5 beats    zset: who waits, by the time until which it counts as alive (us)
-- Returns
--   integer: 1 when it was held, 0 when it was free
local lock, fence, readers, line, beats = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local now = clock()
prune(readers, line, beats, now)
local held = redis.call('DEL', lock, readers)
admit(lock, fence, readers, line, beats, now)
return math.min(held, 1)
