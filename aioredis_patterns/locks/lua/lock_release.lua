-- Free a lock if the token still holds it, or keep it closed for a while, and wake who has waited longest.
--
-- KEYS
--   1 lock      string: token, fence and owner
--   2 waiters   zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 token     of the holder
--   2 cooldown  ms that the lock stays closed; absent to free it at once
-- Returns
--   integer: 1 when the token held it, 0 when it did not
local lock, waiters = KEYS[1], KEYS[2]
local token, cooldown = ARGV[1], ARGV[2]

local held = redis.call('GET', lock)
if not fence_of(held, token) then return 0 end

if cooldown then
  -- In this order: a full server allows the first, and then the second.
  redis.call('PEXPIRE', lock, cooldown)
  redis.call('SET', lock, '-' .. held, 'KEEPTTL')
  return 1
end
redis.call('DEL', lock)
wake(lock, waiters)
return 1
