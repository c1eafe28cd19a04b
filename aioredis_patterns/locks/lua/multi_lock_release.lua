-- Free the locks that the token still holds, and wake who has waited longest for each.
--
-- KEYS
--   any number of names, each with two keys: lock and waiters, as those of a lock
-- ARGV
--   1 token  of the holder
--   2 inbox  channel of a claim that is given up; absent when the locks are only given back
-- Returns
--   integer: 1 when the token held all of them, 0 when it did not
local token, inbox = ARGV[1], ARGV[2]

local all = 1
for at = 1, #KEYS, 2 do
  local held = redis.call('GET', KEYS[at])
  local mine = fence_of(held, token)
  if mine then redis.call('DEL', KEYS[at]) else all = 0 end
  if inbox then redis.call('ZREM', KEYS[at + 1], inbox) end
  -- The wake-up of a free lock may have been meant for the one that gave up.
  if mine or (inbox and not held) then wake(KEYS[at], KEYS[at + 1]) end
end
return all
