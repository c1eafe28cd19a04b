-- Takes a document away.
-- KEYS
--   1 document  string
-- Returns
--   integer: 1; 0 where there was none
local document = KEYS[1]

return redis.call('DEL', document)
