-- Extend the leases of the readers that still have theirs.
--
-- KEYS
--   any number of locks, each the zset of its readers: tokens, by the ends of their leases (us)
-- ARGV
--   for each lock the reader's token, then its lease (ms)
-- Returns
--   list of integers, one for each: 1 when extended, 0 when it is gone
local now = clock()
local answers = {}
for at, readers in ipairs(KEYS) do
  local token, lease = ARGV[2 * at - 1], tonumber(ARGV[2 * at])
  -- First a write that a full server allows: then it allows the others.
  redis.pcall('ZREMRANGEBYSCORE', readers, '-inf', now)
  local reads = type(redis.pcall('ZSCORE', readers, token)) == 'string'
  if reads then read(readers, token, now, lease) end
  answers[at] = reads and 1 or 0
end
return answers
