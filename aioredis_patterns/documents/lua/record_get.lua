-- Reads a record.
-- KEYS
--   1 record  hash
-- Returns
--   each field and its value; nothing where there is no record
local record = KEYS[1]

return redis.call('HGETALL', record)
