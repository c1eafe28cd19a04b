-- Changes fields of a session, if there still is one.
--
-- KEYS
--   1 session  hash
--   2 epochs   hash
-- ARGV
--   1 expected  version that is to be replaced; empty for any
--   2 version   the new one
--   3 removed   count
--   4.. field   the fields to remove; then each field to set, and its value
-- Returns
--   integer: 1; 0 when there is no such session any more; -1 when another version is there
local session, epochs = KEYS[1], KEYS[2]
local expected, version, removed = ARGV[1], ARGV[2], tonumber(ARGV[3])

if not owner_of(session, epochs) then return 0 end
local current = redis.call('HGET', session, 'version')
if current == version then return 1 end
if expected ~= '' and current ~= expected then return -1 end

for at = 4, 3 + removed do
  redis.call('HDEL', session, ARGV[at])
end
for at = 4 + removed, #ARGV, 2 do
  redis.call('HSET', session, ARGV[at], ARGV[at + 1])
end
redis.call('HSET', session, 'version', version)
return 1
