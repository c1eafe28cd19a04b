-- Takes back deliveries as if they had never been: of a claim that nobody waits for any more, or that was not begun.
--
-- KEYS
--   1 log      stream
--   2 later    zset: ids that were given back or held longer, by the time they may be claimed (us)
--   3 claim    string: the ids that the claim got, each with its attempt
--   4 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 group       text
--   2 consumer    text
--   3 visibility  ms
--   4 names       ids with their attempts, of deliveries whose claim was answered
-- Returns
--   integer: how many
local log, later, claim, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, consumer, visibility, names = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local count, now = 0, clock()
for id, attempt in string.gmatch(redis.call('GETDEL', claim) or names, '(%S+) (%d+)') do
  if held(log, group, consumer, id, attempt) then
    let_go(log, later, group, id, attempt - 1, visibility, now, 0)
    count = count + 1
  end
end
if count > 0 then ring(log, waiters) end
return count
