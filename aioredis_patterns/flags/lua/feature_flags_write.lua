-- Sets or deletes a flag if it is still set as the caller saw it.
-- KEYS
--   1 flags    hash, how each flag is set
--   2 numbers  hash, the bit of each flag; under the empty name the last that was given
--   3 audit    stream, the changes
-- ARGV
--   1 flag    its name
--   2 before  how it was set, empty where it was not there
--   3 after   how it is to be set, empty to delete it
--   4 action  set or delete
--   5 by      who changes it, or empty
--   6 keep    changes that are remembered, about
-- Returns
--   integer: 1; 0 where another was faster
local flags, numbers, audit = KEYS[1], KEYS[2], KEYS[3]
local flag, before, after, action, by, keep = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

if (redis.call('HGET', flags, flag) or '') ~= before then return 0 end
if after == '' then
  redis.call('HDEL', flags, flag)
  redis.call('HDEL', numbers, flag)
else
  redis.call('HSET', flags, flag, after)
end
redis.call('XADD', audit, 'MAXLEN', '~', keep, '*', 'flag', flag, 'action', action, 'by', by,
  'before', before, 'after', after, 'users', '')
return 1
