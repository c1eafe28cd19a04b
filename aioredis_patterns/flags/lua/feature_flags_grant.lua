-- Grants a flag to users, or revokes it.
-- KEYS
--   1 flags    hash, how each flag is set
--   2 numbers  hash, the bit of each flag; under the empty name the last that was given
--   3 audit    stream, the changes
--   4.. bits  string, a bit for each flag, of each user
-- ARGV
--   1 flag    its name
--   2 bit     1 to grant, 0 to revoke
--   3 action  grant or revoke
--   4 by      who changes it, or empty
--   5 keep    changes that are remembered, about
--   6 users   for the audit
-- Returns
--   integer: for how many users that was new; -1 where there is no such flag
local flags, numbers, audit = KEYS[1], KEYS[2], KEYS[3]
local flag, bit, action, by, keep, users = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

if redis.call('HEXISTS', flags, flag) == 0 then return -1 end
local number = redis.call('HGET', numbers, flag)
if not number then
  if bit == '0' then return 0 end
  number = redis.call('HINCRBY', numbers, '', 1)
  redis.call('HSET', numbers, flag, number)
end
local changed = 0
for at = 4, #KEYS do
  if redis.call('GETBIT', KEYS[at], number) ~= tonumber(bit) then
    changed = changed + 1
    redis.call('SETBIT', KEYS[at], number, bit)
    if redis.call('BITCOUNT', KEYS[at]) == 0 then redis.call('DEL', KEYS[at]) end
  end
end
if changed > 0 then
  redis.call('XADD', audit, 'MAXLEN', '~', keep, '*', 'flag', flag, 'action', action, 'by', by,
    'before', '', 'after', '', 'users', users)
end
return changed
