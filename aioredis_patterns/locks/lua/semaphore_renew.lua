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
  local ends = redis.pcall('ZSCORE', permits, token .. ':1')
  answers[at] = 0
  if type(ends) == 'string' and tonumber(ends) > now then
    hold(permits, token, lease, now)
    answers[at] = 1
  end
end
return answers
