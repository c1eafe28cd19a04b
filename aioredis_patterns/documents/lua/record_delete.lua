-- Takes a record away.
-- KEYS
--   1 record  hash
-- Returns
--   integer: 1; 0 where there was none
local record = KEYS[1]

return redis.call('DEL', record)
