-- Reads the last changes of flags.
-- KEYS
--   1 audit  stream, the changes
-- ARGV
--   1 count  how many at most
-- Returns
--   for each change, the last first: its id and its fields
local audit = KEYS[1]
local count = ARGV[1]

return redis.call('XREVRANGE', audit, '+', '-', 'COUNT', count)
