-- Give a lock from one token to another of the same client, unless another client has waited longer.
--
-- KEYS
--   1 lock     string: token, fence and owner
--   2 fence    string: integer, the newest fence of this lock
--   3 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 token    of the holder
--   2 heir     token that takes over
--   3 lease    ms, of the heir
--   4 owner    text, of the heir
--   5 inbox    channel of the client; empty when the heir does not listen yet
--   6 waited   us that the heir has waited
-- Returns
--   integer: the heir's fence when it took over, 0 when the lock was freed for another, -1 when it was not the token's
local lock, fence, waiters = KEYS[1], KEYS[2], KEYS[3]
local token, heir, lease, owner, inbox, waited = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

if not fence_of(redis.call('GET', lock), token) then return -1 end

local first = redis.call('ZRANGE', waiters, 0, 0, 'WITHSCORES')
if first[1] and first[1] ~= inbox then
  local since = clock() - waited
  if tonumber(first[2]) < since then
    if inbox ~= '' then enroll(waiters, inbox, since) end
    redis.call('DEL', lock)
    wake(lock, waiters)
    return 0
  end
end
-- Also where there is nothing to remove: a full server allows this write, and then the others of the script.
redis.call('ZREM', waiters, inbox)
return take(lock, fence, heir, lease, owner)
