-- Take a lock for a token, to write alone or to read with others, or stand in line for it and give a sign of life.
--
-- KEYS
--   1 lock     string: token, fence and owner of the writer; lives as long as the lease
--   2 fence    string: integer, the newest fence of this lock
--   3 readers  zset: tokens, by the ends of their leases (us)
--   4 line     zset: who waits (mode, token, inbox and owner), by place
--   5 beats    zset: who waits, by the time until which it counts as alive (us)
-- ARGV
--   1 mode     w to write, r to read, u to write for a token that reads
--   2 token    without spaces
--   3 lease    ms
--   4 owner    text
--   5 inbox    channel of the client; absent when the caller does not wait
--   6 life     ms for which this is a sign of life; absent with it
-- Returns
--   integer: the fence when it is the token's now; 0 when it reads no more or another wants to write too (u only);
--   else minus the time after which to ask again (ms)
local lock, fence, readers, line, beats = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local mode, token, lease, owner, inbox, life = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]

local now = clock()
prune(readers, line, beats, now)
admit(lock, fence, readers, line, beats, now)

local held = redis.call('GET', lock)
local number = mode ~= 'r' and fence_of(held, token)
if number then
  redis.call('PEXPIRE', lock, lease)
  return number
end

local reads = redis.call('ZSCORE', readers, token)
local first = redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')
local me = inbox and table.concat({ mode, token, inbox, owner }, ' ')
if mode == 'u' and (not reads or (first[1] and first[1] ~= me and tonumber(first[2]) == FIRST)) then return 0 end

if mode == 'r' and (reads or not (held or first[1])) then
  read(readers, token, now, lease)
  return draw(fence)
end
if mode ~= 'r' and not held and (mode == 'u' or not first[1]) and others(readers, token) == 0 then
  return write(lock, fence, line, token, lease, owner)
end
if not me then return -1 end

local range = mode == 'u' and FIRST or mode == 'w' and 0 or held and AHEAD or BEHIND
redis.call('ZADD', line, 'NX', string.format('%.0f', place_in(line, range, now)), me)
redis.call('ZADD', beats, string.format('%.0f', now + life * 1000), me)
linger(line, tonumber(life))
linger(beats, tonumber(life))
local ends = redis.call('ZRANGE', readers, 0, 0, 'WITHSCORES')[2]
local left = held and redis.call('PTTL', lock) or ends and math.ceil((ends - now) / 1000)
local again = math.ceil(life / 3)
if redis.call('ZRANK', line, me) == 0 and left and left >= 0 then again = math.min(again, math.max(left, 1)) end
return -again
