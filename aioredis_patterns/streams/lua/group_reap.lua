-- Forgets the consumers of a group that were not heard of for long, as far as they hold nothing.
--
-- KEYS
--   1 log  stream
-- ARGV
--   1 group  text
--   2 idle   ms
-- Returns
--   integer: how many
local log = KEYS[1]
local group, idle = ARGV[1], tonumber(ARGV[2])

local consumers, count = redis.pcall('XINFO', 'CONSUMERS', log, group), 0
for _, one in ipairs(consumers.err and {} or consumers) do
  local named = {}
  for at = 1, #one, 2 do named[one[at]] = one[at + 1] end
  if named.pending == 0 and named.idle >= idle then
    redis.call('XGROUP', 'DELCONSUMER', log, group, named.name)
    count = count + 1
  end
end
return count
