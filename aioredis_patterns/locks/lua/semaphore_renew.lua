-- Extend the leases of the permits that their tokens still hold.
--
-- KEYS
--   any number of semaphores, each a zset: permits by the time at which they expire (us)
-- ARGV
--   for each semaphore the token, then its lease (ms)
-- Returns
--   list of integers, one for each semaphore: 1 when extended, 0 when the permits are gone
local now, answers = clock(), {}
for at, permits in ipairs(KEYS) do
  local token, lease = ARGV[2 * at - 1], ARGV[2 * at]
  -- First a write that a full server allows: then it allows the others.
  redis.pcall('ZREMRANGEBYSCORE', permits, '-inf', string.format('%.0f', now))
  local held = type(redis.pcall('ZSCORE', permits, token .. ':1')) == 'string'
  if held then hold(permits, token, lease, now) end
  answers[at] = held and 1 or 0
end
return answers
