-- Changes some fields of a record; those that are as they should be are not written.
-- KEYS
--   1 record  hash
-- ARGV
--   1.. field  each field, then its value
-- Returns
--   integer: 1; 0 where there is no record
local record = KEYS[1]

if redis.call('EXISTS', record) == 0 then return 0 end
for at = 1, #ARGV, 2 do
  if redis.call('HGET', record, ARGV[at]) ~= ARGV[at + 1] then redis.call('HSET', record, ARGV[at], ARGV[at + 1]) end
end
return 1
