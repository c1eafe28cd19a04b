-- Frees all slots of a subject, and forgets who waits.
-- KEYS
--   1 slots  zset, those held by the end of their leases (us)
--   2 line   zset, those who wait by the time they joined (us)
--   3 heard  zset, the same by the time until which they count as alive (us)
-- Returns
--   integer  how many of the keys there were
local slots, line, heard = KEYS[1], KEYS[2], KEYS[3]

return redis.call('DEL', slots, line, heard)
