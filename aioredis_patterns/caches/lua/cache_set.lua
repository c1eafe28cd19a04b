-- Stores a value and revokes the load in progress, which began before it.
-- KEYS
--   1 value        string
--   2 lead         string
--   3 generations  hash
-- ARGV
--   1 codec    hexadecimal
--   2 ttl_ms   ms  until it is stale
--   3 life_ms  ms  until it is dropped
--   4 keep_ms  ms  that generations are kept at least
--   5 tags     names joined by '|'
--   6 channel  name
--   7 body     bytes
-- Returns
--   integer  1
local value, lead, generations = KEYS[1], KEYS[2], KEYS[3]
local codec, ttl_ms, life_ms, keep_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local tags, channel, body = ARGV[5], ARGV[6], ARGV[7]

local entry = pack(codec, generation_of(generations, keep_ms), ttl_ms, life_ms, 0, tags, body)
redis.call('SET', value, entry, 'PX', life_ms)
if redis.call('DEL', lead) == 1 then
  redis.call('PUBLISH', channel, 'set')
end
return 1
