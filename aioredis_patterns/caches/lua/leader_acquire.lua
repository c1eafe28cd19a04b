-- Makes the caller the one who loads a value, unless a fresh value or another leader is there.
-- KEYS
--   1 value  string
--   2 lead   string
--   3 marks  string
--   4 tags   hash
-- ARGV
--   1 token     16 characters
--   2 lease_ms  ms
--   3 keep_ms   ms  that marks are kept at least
--   4 names     of the tags, joined by '|'
--   5 replaced  header of the entry that counts as none, or empty
-- Returns
--   integer  state: 1 the caller leads, 0 there is a fresh value, -1 another leads
--   string   token of the leader, or empty
--   integer  ms until its lease ends, or 0
local value, lead, marks, tags = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, lease_ms, keep_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local names, replaced = ARGV[4], ARGV[5]

local entry = redis.call('GET', value)
if entry and string.sub(entry, 1, 68) ~= replaced and state_of(entry, marks, tags) == FRESH then
  return { 0, '', 0 }
end
local record = redis.call('GET', lead)
local leader = record and string.sub(record, 1, 16)
-- A leader whose load began before an invalidation leads no more: what it loads is not stored.
if leader and leader ~= token and unchanged(marks, tags, string.sub(record, 17, 32), string.sub(record, 33)) then
  return { -1, leader, redis.call('PTTL', lead) }
end
redis.call('SET', lead, token .. latest_of(marks, tags, keep_ms) .. names, 'PX', lease_ms)
return { 1, token, lease_ms }
