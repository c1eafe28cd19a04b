-- Forgets what a subject has used.
-- KEYS
--   1 state  any type
-- Returns
--   integer  1 there was something, 0 there was nothing
local state = KEYS[1]

return redis.call('DEL', state)
