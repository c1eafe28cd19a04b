-- Stores what the leader loaded, unless it was invalidated since or is being written; wakes those who wait for it.
-- KEYS
--   1 value    string
--   2 lead     string
--   3 marks    string
--   4 tags     hash
--   5 writers  hash
-- ARGV
--   1 token    16 characters
--   2 codec    hexadecimal
--   3 load_us  us  that the load took
--   4 ttl_ms   ms  until it is stale
--   5 life_ms  ms  until it is dropped
--   6 keep_ms  ms  that marks are kept at least
--   7 names    of its tags, joined by '|'
--   8 channel  name
--   9 body     bytes
-- Returns
--   integer  1 stored, 0 refused: it was invalidated, is being written, or the lead was lost
local value, lead, marks, tags, writers = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token, codec, load_us = ARGV[1], ARGV[2], tonumber(ARGV[3])
local ttl_ms, life_ms, keep_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local names, channel, body = ARGV[7], ARGV[8], ARGV[9]

local record = redis.call('GETRANGE', lead, 0, 31)
if string.sub(record, 1, 16) ~= token then
  return 0
end
local generation = string.sub(record, 17)
local valid = unchanged(marks, tags, generation, names) and redis.call('EXISTS', writers) == 0
if valid then
  latest_of(marks, tags, keep_ms)
  local entry = pack(codec, generation, ttl_ms, life_ms, load_us, names, body)
  redis.call('SET', value, entry, 'PX', life_ms)
end
redis.call('DEL', lead)
redis.call('PUBLISH', channel, valid and 'stored' or 'released')
return valid and 1 or 0
