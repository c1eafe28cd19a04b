-- Put back a lock that a majority holds and this server has lost, unless a newer holder was here.
--
-- KEYS
--   1 lock    string: the token
--   2 fence   string: the newest fence of this lock, and the run of the server in which it was noted
-- ARGV
--   1 token   of the holder
--   2 number  integer, its fence
--   3 lease   ms
-- Returns
--   integer: 1 when it was put back, 0 when not
local lock, fence = KEYS[1], KEYS[2]
local token, number, lease = ARGV[1], ARGV[2], ARGV[3]

local newest = read_note(redis.call('GET', fence))
if newest and newest > tonumber(number) then return 0 end
if not redis.call('SET', lock, token, 'NX', 'PX', lease) then return 0 end
redis.call('SET', fence, number .. ' ' .. this_run(), 'PX', 86400000)
return 1
