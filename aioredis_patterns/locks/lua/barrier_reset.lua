-- Mend a barrier, and send away those who wait there.
--
-- KEYS
--   1 state  hash: how often it was passed, and why it is broken; its name is also the channel
--   2 here   zset: tokens that wait, by their arrival (us)
--   3 alive  zset: tokens that wait, by the time until which they count as alive (us)
-- Returns
--   integer: how many had waited
local state, here, alive = KEYS[1], KEYS[2], KEYS[3]

local waited = redis.call('ZCARD', here)
redis.call('DEL', here, alive)
redis.call('HDEL', state, 'broken')
redis.pcall('PUBLISH', state, 'reset')
return waited
