-- Extends the leases of slots that are still held.
-- KEYS
--   any number of zsets, one for each slot
-- ARGV
--   for each slot its token, then its lease (ms)
-- Returns
--   list of integers, one for each slot: 1 extended, 0 it is gone
local now, answers = server_us(), {}
for i, slots in ipairs(KEYS) do
  local token, lease = ARGV[2 * i - 1], tonumber(ARGV[2 * i])
  -- First a write that a full server allows: then it allows the others.
  redis.pcall('ZREM', slots, '')
  -- A key of another type answers with an error, a table.
  local ends = redis.pcall('ZSCORE', slots, token)
  answers[i] = 0
  if type(ends) == 'string' and tonumber(ends) > now then
    hold(slots, token, lease, now)
    answers[i] = 1
  end
end
return answers
