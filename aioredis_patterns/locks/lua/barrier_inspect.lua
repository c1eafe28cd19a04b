-- Read how a barrier stands.
--
-- KEYS
--   1 state  hash: how often it was passed, and why it is broken
--   2 here   zset: tokens that wait, by their arrival (us)
-- Returns
--   list: how often it was passed, how many wait, why it is broken (string, empty when it is not)
local state, here = KEYS[1], KEYS[2]

local passed = tonumber(redis.call('HGET', state, 'passed') or 0)
return { passed, redis.call('ZCARD', here), redis.call('HGET', state, 'broken') or '' }
