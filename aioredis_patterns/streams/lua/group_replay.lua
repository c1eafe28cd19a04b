-- Lets dead letters of a group be delivered to it again, as if they had never been.
--
-- KEYS
--   1 log      stream
--   2 dead     stream: the dead letters of the group
--   3 later    zset: ids that were given back or held longer, by the time they may be claimed (us)
--   4 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 group       text
--   2 visibility  ms
--   3.. letter    ids of dead letters
-- Returns
--   integer: how many; the others are not in the log any more
local log, dead, later, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, visibility = ARGV[1], ARGV[2]

local count, now = 0, clock()
for at = 3, #ARGV do
  local letter = redis.call('XRANGE', dead, ARGV[at], ARGV[at])[1]
  local id = letter and field(letter[2], 'id')
  if id and redis.call('XRANGE', log, id, id)[1] then
    let_go(log, later, group, id, 0, visibility, now, 0)
    redis.call('XDEL', dead, ARGV[at])
    count = count + 1
  end
end
if count > 0 then ring(log, waiters) end
return count
