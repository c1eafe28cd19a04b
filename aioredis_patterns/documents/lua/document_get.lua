-- Reads a document.
-- KEYS
--   1 document  string
-- Returns
--   the string, empty where there is none
local document = KEYS[1]

return redis.call('GET', document) or ''
