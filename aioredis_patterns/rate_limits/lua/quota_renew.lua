-- Extends the leases of reservations that are still there.
-- KEYS
--   any number of zsets, one for each reservation
-- ARGV
--   for each reservation its member, then its lease (ms)
-- Returns
--   list of integers, one for each reservation: 1 extended, 0 it is gone
local now, answers = server_us(), {}
for i, reserved in ipairs(KEYS) do
  local mine, lease = ARGV[2 * i - 1], ARGV[2 * i]
  -- First a write that a full server allows: then it allows the others.
  redis.pcall('ZREM', reserved, '')
  -- A key of another type answers with an error, a table.
  if type(redis.pcall('ZSCORE', reserved, mine)) == 'string' then
    redis.call('ZADD', reserved, 'XX', string.format('%.0f', now + lease * 1000), mine)
    answers[i] = 1
  else
    answers[i] = 0
  end
end
return answers
