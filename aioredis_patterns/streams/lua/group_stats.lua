-- Tells how far a group is, and what it has in hand.
--
-- KEYS
--   1 log   stream
--   2 dead  stream: the dead letters of the group
-- ARGV
--   1 group  text
--   2 start  id where the group begins if there is none
-- Returns
--   list of integers: entries that were not delivered yet, pending ones, dead ones, and the age (us) of the oldest that
--   is not done with, -1 when there is none
local log, dead = KEYS[1], KEYS[2]
local group, start = ARGV[1], ARGV[2]

local last, lag = start == '$' and '+' or start, nil
local groups = redis.pcall('XINFO', 'GROUPS', log)
for _, one in ipairs(groups.err and {} or groups) do
  local named = {}
  for at = 1, #one, 2 do named[one[at]] = one[at + 1] end
  if named.name == group then last, lag = named['last-delivered-id'], named.lag end
end
local waiting, most = {}, lag and 1 or 100000
if last ~= '+' then waiting = redis.call('XRANGE', log, '(' .. last, '+', 'COUNT', most) end
local pending = redis.pcall('XPENDING', log, group)
if pending.err then pending = {0} end

local oldest = pending[1] > 0 and pending[2] or waiting[1] and waiting[1][1]
local age = oldest and math.max(clock() - string.match(oldest, '^%d+') * 1000, 0) or -1
-- After a failover the server's own count may be of another time: where nothing waits there is no lag.
if #waiting == 0 then lag = 0 end
return {lag or #waiting, pending[1], redis.call('XLEN', dead), age}
