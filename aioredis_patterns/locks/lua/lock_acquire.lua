-- Take a lock for a token: when it is free, or held by this very token already.
--
-- KEYS
--   1 lock     string: token, fence and owner, separated by spaces; lives as long as the lease
--   2 fence    string: integer, the newest fence of this lock
--   3 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 token    without spaces
--   2 lease    ms
--   3 owner    text
--   4 inbox    channel of the client; absent when the caller does not wait
--   5 waited   us that it has waited; absent with it
-- Returns
--   integer: the fence when it is the token's now, else minus the time that the other's lease has left (ms)
local lock, fence, waiters = KEYS[1], KEYS[2], KEYS[3]
local token, lease, owner, inbox, waited = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local held = redis.call('GET', lock)
local number = fence_of(held, token)
if held and not number then
  if inbox then enroll(waiters, inbox, clock() - waited) end
  local left = redis.call('PTTL', lock)
  return left < 0 and -1000 or -math.max(left, 1)
end

if number then
  redis.call('PEXPIRE', lock, lease)
else
  number = take(lock, fence, token, lease, owner)
end
if inbox then redis.call('ZREM', waiters, inbox) end
return number
