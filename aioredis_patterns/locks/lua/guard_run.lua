-- Refuse a write whose fence is older than the newest seen; else remember it and go on with the write's own script.
--
-- KEYS
--   1 guard  string: integer, the newest fence seen
--   any number of keys of the write, which are its KEYS
-- ARGV
--   1 fence  integer, of who writes
--   2 ttl    ms that it is remembered
--   any number of arguments of the write, which are its ARGV
-- Returns
--   what the write returns; the error FENCED and the newest fence when it is refused
local guard = KEYS[1]
local fence, ttl = ARGV[1], ARGV[2]

local newest = redis.call('GET', guard)
if newest and not tonumber(newest) then return redis.error_reply('ERR what the guard holds is no fence') end
if newest and tonumber(newest) > tonumber(fence) then
  return redis.error_reply('FENCED ' .. newest)
end
redis.call('SET', guard, fence, 'PX', ttl)
table.remove(KEYS, 1)
table.remove(ARGV, 1)
table.remove(ARGV, 1)
