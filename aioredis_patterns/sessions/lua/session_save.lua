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
--   1 state      1; 0 when there is no such session any more; -1 when another version is there
--   2 successor  where there is none, but the token was replaced and may still be used: digest of the new token
local session, epochs = KEYS[1], KEYS[2]
local expected, version, removed = ARGV[1], ARGV[2], tonumber(ARGV[3])

local head = redis.call('HGET', session, 'head')
if not head then
  local successor, grace = unpack(redis.call('HMGET', session, 'successor', 'grace'))
  return {0, successor and tonumber(grace) > server_us() and successor or ''}
end
if not owner_of(head, epochs) then return {0, ''} end
local current = part(head, VERSION)
if current == version then return {1} end
if expected ~= '' and current ~= expected then return {-1} end

if removed > 0 then redis.call('HDEL', session, unpack(ARGV, 4, 3 + removed)) end
redis.call('HSET', session, 'head', with(head, VERSION, version), unpack(ARGV, 4 + removed))
return {1}
