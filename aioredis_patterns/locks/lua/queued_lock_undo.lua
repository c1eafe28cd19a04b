-- Take back whatever an acquisition that was given up has left: the hold itself, and its place in the line.
--
-- KEYS
--   1 lock     string: token, fence and owner of the writer
--   2 fence    string: integer, the newest fence of this lock
--   3 readers  zset: tokens, by the ends of their leases (us)
--   4 line     zset: who waits (mode, token, inbox and owner), by place
--   5 beats    zset: who waits, by the time until which it counts as alive (us)
-- ARGV
--   1 mode     w to write, r to read, u to write for a token that reads, and goes on to
--   2 token    of the acquisition
--   3 owner    text
--   4 inbox    channel of the client
-- Returns
--   integer: 1
local lock, fence, readers, line, beats = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local mode, token, owner, inbox = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local now = clock()
prune(readers, line, beats, now)
if fence_of(redis.call('GET', lock), token) then redis.call('DEL', lock) end
if mode ~= 'u' then redis.call('ZREM', readers, token) end
leave(line, beats, table.concat({ mode, token, inbox, owner }, ' '))
admit(lock, fence, readers, line, beats, now)
return 1
