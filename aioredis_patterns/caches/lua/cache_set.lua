-- Stores a value, unless it was invalidated since it was made, and revokes the load in progress, which began before it.
-- KEYS
--   1 value  string
--   2 lead   string
--   3 marks  string
--   4 tags   hash
-- ARGV
--   1 codec    hexadecimal
--   2 ttl_ms   ms  until it is stale
--   3 life_ms  ms  until it is dropped
--   4 keep_ms  ms  that marks are kept at least
--   5 names    of its tags, joined by '|'
--   6 since    stamp of when it began to be made; empty when that does not matter
--   7 channel  name
--   8 body     bytes
-- Returns
--   integer  1 stored, 0 refused: it was invalidated
local value, lead, marks, tags = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local codec, ttl_ms, life_ms, keep_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local names, since, channel, body = ARGV[5], ARGV[6], ARGV[7], ARGV[8]

if since ~= '' and not unchanged(marks, tags, since, names) then
  return 0
end
local entry = pack(codec, latest_of(marks, tags, keep_ms), ttl_ms, life_ms, 0, names, body)
redis.call('SET', value, entry, 'PX', life_ms)
if redis.call('DEL', lead) == 1 then
  redis.call('PUBLISH', channel, 'set')
end
return 1
