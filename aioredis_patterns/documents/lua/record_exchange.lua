-- Changes fields of a record if all of it is still as the caller saw it.
-- KEYS
--   1 record  hash
-- ARGV
--   1 seen    how many fields there were
--   2.. field  each of them and its value, then each that changes and its new value
-- Returns
--   integer: 1; 0 where another was faster
local record = KEYS[1]
local seen = tonumber(ARGV[1])

-- HLEN counts fields too whose time has passed, until the server drops them.
if #redis.call('HGETALL', record) ~= 2 * seen then return 0 end
for at = 2, 2 * seen, 2 do
  if redis.call('HGET', record, ARGV[at]) ~= ARGV[at + 1] then return 0 end
end
if #ARGV > 2 * seen + 1 then redis.call('HSET', record, unpack(ARGV, 2 * seen + 2)) end
return 1
