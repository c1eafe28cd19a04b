-- Extend the leases that their tokens still hold.
--
-- KEYS
--   any number of zsets: tokens by the end of their lease (us)
-- ARGV
--   for each of them a token, then its lease (ms)
-- Returns
--   list of integers, one for each token: 1 when extended, 0 when the lease had moved on
local now = clock()
local answers = {}
for at, leased in ipairs(KEYS) do
  local token, lease = ARGV[2 * at - 1], ARGV[2 * at]
  -- First a write that a full server allows: then it allows the others.
  redis.call('ZREM', leased, '')
  answers[at] = redis.call('ZSCORE', leased, token) and 1 or 0
  if answers[at] == 1 then redis.call('ZADD', leased, 'XX', string.format('%.0f', now + lease * 1000), token) end
end
return answers
