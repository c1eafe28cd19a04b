-- Extend the leases of the requests that still have their idempotency keys.
--
-- KEYS
--   any number of records, each a hash: token, payload, answer
-- ARGV
--   for each of them the request's token, then its lease (ms)
-- Returns
--   list of integers, one for each: 1 when extended, 0 when it is answered or gone, -1 when it is another's
local answers = {}
for at, record in ipairs(KEYS) do
  local token, lease = ARGV[2 * at - 1], ARGV[2 * at]
  local held = redis.call('HMGET', record, 'token', 'answer')
  answers[at] = 0
  if held[1] and held[1] ~= token then
    answers[at] = -1
  elseif held[1] and not held[2] then
    answers[at] = redis.call('PEXPIRE', record, lease)
  end
end
return answers
