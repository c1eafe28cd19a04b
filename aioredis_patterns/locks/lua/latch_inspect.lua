-- Count the parties that a latch waits for.
--
-- KEYS
--   1 latch  set: the parties that have counted it down
-- ARGV
--   1 count  how many parties open it
-- Returns
--   integer: how many are missing
local latch = KEYS[1]
local count = ARGV[1]

return math.max(count - redis.call('SCARD', latch), 0)
