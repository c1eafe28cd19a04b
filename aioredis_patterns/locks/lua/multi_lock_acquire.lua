-- Take several locks for a token: when all of them are free, or held by this very token already.
--
-- KEYS
--   any number of names, each with three keys: lock, fence and waiters, as those of a lock
-- ARGV
--   1 token   without spaces
--   2 lease   ms
--   3 owner   text
--   4 least   integer, what their common fence has to be at least
--   5 inbox   channel of the claim; absent when the caller does not wait
--   6 waited  us that it has waited; absent with it
-- Returns
--   integer: the common fence when they are the token's now, else minus the time that a lease has left (ms)
local token, lease, owner, least, inbox, waited = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local number, mine, free, blocking = tonumber(least), {}, {}, nil
for at = 1, #KEYS, 3 do
  local held = redis.call('GET', KEYS[at])
  mine[at], free[at] = fence_of(held, token), not held
  if held and not mine[at] then blocking = blocking or at end
end

if blocking then
  for at = 1, #KEYS, 3 do
    if mine[at] then redis.call('DEL', KEYS[at]) end
    -- The wake-up of a lock that is free may have been meant for this one, which cannot use it.
    if mine[at] or free[at] then wake(KEYS[at], KEYS[at + 2]) end
  end
  if inbox then enroll(KEYS[blocking + 2], inbox, clock() - waited) end
  local left = redis.call('PTTL', KEYS[blocking])
  return left < 0 and -1000 or -math.max(left, 1)
end

for at = 1, #KEYS, 3 do
  number = math.max(number, mine[at] or draw(KEYS[at + 1]))
end
for at = 1, #KEYS, 3 do
  redis.call('SET', KEYS[at], string.format('%s %.0f %s', token, number, owner), 'PX', lease)
  redis.call('SET', KEYS[at + 1], string.format('%.0f', number), 'PX', 86400000)
  if inbox then redis.call('ZREM', KEYS[at + 2], inbox) end
end
return number
