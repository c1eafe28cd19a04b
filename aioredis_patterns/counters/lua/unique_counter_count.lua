-- Estimates how many different items windows have together, without a key left behind.
-- KEYS
--   1 window  hyperloglog
--   2.. other  hyperloglog, each
-- Returns
--   integer: the estimate
local window = KEYS[1]

return redis.call('PFCOUNT', window, unpack(KEYS, 2))
