-- Find dead letters by their reason and their age, those that died first in front.
--
-- KEYS
--   1 dead      zset: ids of the dead letters by the time of their death (us)
--   2 index     hash: what is known of ids, tokens and dedup keys
-- ARGV
--   1 start     how many are left out
--   2 count     how many are looked at
--   3 error     what the reason has in it; empty for any
--   4 age       ms since the death, at least
-- Returns
--   list: how many were looked at, then the ids of those that are meant
local dead, index = KEYS[1], KEYS[2]
local start, count, error, age = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- A reason ends where its traceback begins, behind a zero byte.
local until_us = age == '0' and '+inf' or string.format('%.0f', clock() - age * 1000)
local ids = redis.call('ZRANGE', dead, '-inf', until_us, 'BYSCORE', 'LIMIT', start, count)
local found = { #ids }
for _, id in ipairs(ids) do
  local reason = string.match(redis.call('HGET', index, 'r:' .. id) or '', '^%Z*')
  if string.find(reason, error, 1, true) then found[#found + 1] = id end
end
return found
