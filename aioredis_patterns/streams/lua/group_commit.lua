-- Ends a delivery together with the writes of its handler, if the consumer still has it.
--
-- KEYS
--   1 log      stream
--   2 dead     stream: the dead letters of the group
--   3 later    zset: ids that were given back or held longer, by the time they may be claimed (us)
--   4 waiters  zset: inboxes of the clients that wait, by the time they began (us)
--   5.. key    of the handler, for its writes
-- ARGV
--   1 group     text
--   2 consumer  text
--   3 id        of the entry
--   4 attempt   the delivery's number
--   5 ordered   1 to tell who waits for the next entry
--   6.. command  the number of its words, and these
-- Returns
--   integer: 1 when it was held, 0 when it had moved on; or why it is a dead letter
local log, dead, later, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, consumer, id, attempt, ordered = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if not held(log, group, consumer, id, attempt) then
  -- It may have failed at a first try whose reply was lost; that others buried it is no failure of its commands.
  for _, letter in ipairs(redis.call('XREVRANGE', dead, '+', '-', 'COUNT', 100)) do
    local why = field(letter[2], 'reason')
    if field(letter[2], 'id') == id and field(letter[2], 'attempts') == attempt and why ~= too_often(attempt) then return why end
  end
  return 0
end

local at = 6
while at <= #ARGV do
  local last = at + ARGV[at]
  local answer = redis.pcall(unpack(ARGV, at + 1, last))
  if type(answer) == 'table' and answer.err then
    -- What was written before stays written, so to try it again would write it twice.
    bury(log, dead, later, group, id, attempt, answer.err, clock())
    ring(log, waiters)
    return answer.err
  end
  at = last + 1
end
redis.call('XACK', log, group, id)
redis.call('ZREM', later, id)
if ordered == '1' then ring(log, waiters) end
return 1
