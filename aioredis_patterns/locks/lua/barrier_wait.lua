-- Arrive at a barrier, or give a sign of life while waiting there.
--
-- KEYS
--   1 state    hash: how often it was passed, and why it is broken; its name is also the channel
--   2 here     zset: tokens that wait, by their arrival (us)
--   3 past     zset: tokens that have passed lately, by second and index
--   4 alive    zset: tokens that wait, by the time until which they count as alive (us)
-- ARGV
--   1 token    of the party
--   2 parties  how many pass together
--   3 lease    ms
--   4 ttl      ms
--   5 known    1 when it was told that it had arrived, else 0
-- Returns
--   list: 1 passed, 0 waiting or -1 broken; its index, or the time after which to ask again (ms); the reason (string)
local state, here, past, alive = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, parties, lease, ttl, known = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local index = passed_as(past, token)
if index then return { 1, index, '' } end
local broken = redis.call('HGET', state, 'broken')
if broken then return { -1, 0, broken } end
local arrived = redis.call('ZSCORE', here, token)
if known == '1' and not arrived then return { -1, 0, 'it was reset' } end

local now = clock()
redis.call('ZADD', alive, string.format('%.0f', now + lease * 1000), token)
if redis.call('ZCOUNT', alive, '-inf', string.format('%.0f', now)) > 0 then
  return close(state, here, alive, 'a party died', ttl)
end
if not arrived then redis.call('ZADD', here, string.format('%.0f', now), token) end
local rank = redis.call('ZRANK', here, token)
if redis.call('ZCARD', here) >= tonumber(parties) then
  pass(state, here, past, alive, math.floor(now / 1000000), math.ceil(math.max(lease / 1000, 10)) + 1, ttl)
  return { 1, rank, '' }
end
redis.call('PEXPIRE', state, ttl)
redis.call('PEXPIRE', here, ttl)
redis.call('PEXPIRE', alive, ttl)
local first = redis.call('ZRANGE', alive, 0, 0, 'WITHSCORES')
return { 0, math.ceil((first[2] - now) / 1000) + 1, '' }
