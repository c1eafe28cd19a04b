-- Gives a delivery back, or buries the entry when this was its last one.
--
-- KEYS
--   1 log      stream
--   2 dead     stream: the dead letters of the group
--   3 later    zset: ids that were given back or held longer, by the time they may be claimed (us)
--   4 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 group       text
--   2 consumer    text
--   3 id          of the entry
--   4 attempt     the delivery's number
--   5 visibility  ms
--   6 delay       ms until it may be claimed again
--   7 most        deliveries of one entry
--   8 reason      text
-- Returns
--   integer: 1; 0 when another has it, or nobody
local log, dead, later, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, consumer, id, attempt, visibility = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local delay, most, reason = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

if not held(log, group, consumer, id, attempt) then return 0 end
local now = clock()
if attempt >= most then
  bury(log, dead, later, group, id, attempt, reason, now)
else
  let_go(log, later, group, id, attempt, visibility, now, delay)
end
ring(log, waiters)
return 1
