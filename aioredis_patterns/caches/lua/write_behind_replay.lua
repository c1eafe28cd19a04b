-- Makes dead letters due again, as far as nothing newer was put for their keys.
-- KEYS
--   1 dirty  hash
--   2 due    zset
--   3 dead   hash
-- Returns
--   integer  how many are due again
local dirty, due, dead = KEYS[1], KEYS[2], KEYS[3]

local revived = 0
local letters = redis.call('HGETALL', dead)
for at = 1, #letters, 2 do
  local part, record = letters[at], letters[at + 1]
  if redis.call('HSETNX', dirty, part, string.sub(record, 1, 16) .. '0000' .. string.sub(record, 21)) == 1 then
    redis.call('ZADD', due, server_us(), part)
    revived = revived + 1
  end
end
redis.call('DEL', dead)
return revived
