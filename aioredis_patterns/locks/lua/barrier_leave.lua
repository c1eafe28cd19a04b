-- Leave a barrier: go as if one had not come, or break it for everybody.
--
-- KEYS
--   1 state   hash: how often it was passed, and why it is broken; its name is also the channel
--   2 here    zset: tokens that wait, by their arrival (us)
--   3 past    zset: tokens that have passed lately, by second and index
--   4 alive   zset: tokens that wait, by the time until which they count as alive (us)
-- ARGV
--   1 token   of the party; empty for somebody who is none
--   2 reason  why it is broken; empty to go only
--   3 ttl     ms
-- Returns
--   list: 1 passed before, 0 gone or -1 broken; its index; the reason (string)
local state, here, past, alive = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, reason, ttl = ARGV[1], ARGV[2], ARGV[3]

local index = passed_as(past, token)
if index then return { 1, index, '' } end
local broken = redis.call('HGET', state, 'broken')
if broken then return { -1, 0, broken } end
if reason ~= '' then return close(state, here, alive, reason, ttl) end

redis.call('ZREM', here, token)
redis.call('ZREM', alive, token)
return { 0, 0, '' }
