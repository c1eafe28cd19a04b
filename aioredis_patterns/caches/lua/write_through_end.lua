-- Puts a value back after the store was written, unless another writer was at work meanwhile.
-- KEYS
--   1 value    string
--   2 lead     string
--   3 marks    string
--   4 tags     hash
--   5 writers  hash
-- ARGV
--   1 token    16 characters
--   2 written  1 the store has the value now, 0 it has none or nobody knows
--   3 codec    hexadecimal
--   4 ttl_ms   ms  until it is stale
--   5 life_ms  ms  until it is dropped
--   6 keep_ms  ms  that marks are kept at least
--   7 names    of its tags, joined by '|'
--   8 channel  name
--   9 body     bytes
-- Returns
--   integer  1 stored, 0 left out
local value, lead, marks, tags, writers = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token, written, codec = ARGV[1], ARGV[2] == '1', ARGV[3]
local ttl_ms, life_ms, keep_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local names, channel, body = ARGV[7], ARGV[8], ARGV[9]

local alone = is_alone(writers, token)
local crossed = redis.call('HEXISTS', writers, CROSSED) == 1
local stored = redis.call('HDEL', writers, token) == 1 and written and alone and not crossed
if alone then
  redis.call('DEL', writers)
end
if stored then
  local entry = pack(codec, latest_of(marks, tags, keep_ms), ttl_ms, life_ms, 0, names, body)
  redis.call('SET', value, entry, 'PX', life_ms)
else
  redis.call('DEL', value)
end
redis.call('DEL', lead)
redis.call('PUBLISH', channel, 'written')
return stored and 1 or 0
