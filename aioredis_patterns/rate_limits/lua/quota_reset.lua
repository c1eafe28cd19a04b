-- Forgets what a subject has used and reserved.
-- KEYS
--   1 quota     string
--   2 reserved  zset
-- Returns
--   integer  how many of the two there were
local quota, reserved = KEYS[1], KEYS[2]

return redis.call('DEL', quota) + redis.call('DEL', reserved)
