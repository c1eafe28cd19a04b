-- Extend the leases of the locks that their tokens still hold.
--
-- KEYS
--   any number of locks, each a string: token, fence and owner
-- ARGV
--   for each lock its token, then its lease (ms)
-- Returns
--   list of integers, one for each lock: its fence when extended, 0 when it is gone, -1 when it is another's
local answers = {}
for at, lock in ipairs(KEYS) do
  local token, lease = ARGV[2 * at - 1], ARGV[2 * at]
  local held = redis.pcall('GET', lock)
  if not held then
    answers[at] = 0
  elseif type(held) == 'string' and fence_of(held, token) then
    redis.call('PEXPIRE', lock, lease)
    answers[at] = fence_of(held, token)
  else
    answers[at] = -1
  end
end
return answers
