-- Note the fence of the token that a majority has voted for, where it still has the lock.
--
-- KEYS
--   1 lock    string: the token
--   2 fence   string: the newest fence of this lock, and the run of the server in which it was noted
-- ARGV
--   1 token   of the acquisition
--   2 number  integer, its fence
-- Returns
--   integer: 1 when it was noted, 0 when the token does not have the lock here
local lock, fence = KEYS[1], KEYS[2]
local token, number = ARGV[1], ARGV[2]

if redis.call('GET', lock) ~= token then return 0 end

local newest = math.max(read_note(redis.call('GET', fence)) or 0, number)
redis.call('SET', fence, string.format('%.0f %s', newest, this_run()), 'PX', 86400000)
return 1
