-- End a message together with the writes of its handler, if the token still holds it.
--
-- KEYS
--   1 ready     list or zset: ids that may be claimed
--   2 delayed   zset: ids by the time when they may be claimed (us)
--   3 leased    zset: tokens by the end of their lease (us)
--   4 dead      zset: ids of the dead letters by the time of their death (us)
--   5 messages  hash: records by id
--   6 index     hash: what is known of ids, tokens and dedup keys
--   7 waiters   zset: inboxes of the clients that wait, by the time they began (us)
--   8.. key     of the handler, for its writes
-- ARGV
--   1 order     fifo, or the us of waiting that one level of priority is worth; 0 for any
--   2 token     of the delivery
--   3 id        of the message
--   4 attempt   the delivery's number
--   5.. command the number of its words, and these
-- Returns
--   integer: 1 when it was held, 0 when the lease had moved on; or why it is a dead letter
local ready, delayed, leased, dead, messages, index, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local order, token, id, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local hold = held(index, token)
if not hold then
  -- It may have failed at a first try whose reply was lost; that others buried it is no failure of its commands.
  local tries, why = unpack(redis.call('HMGET', index, 'a:' .. id, 'r:' .. id))
  return tries == attempt and why and why ~= LEASE_ENDED and why or 0
end
let_go(leased, index, token)
local now, at = clock(), 5
while at <= #ARGV do
  local last = at + ARGV[at]
  local answer = redis.pcall(unpack(ARGV, at + 1, last))
  if type(answer) == 'table' and answer.err then
    -- What was written before stays written, so to try it again would write it twice.
    local put = bury(dead, index, id, hold.dedup, answer.err, now)
    run_again(ready, delayed, messages, index, waiters, order, now, put)
    return answer.err
  end
  at = last + 1
end
run_again(ready, delayed, messages, index, waiters, order, now, forget(messages, index, id, hold.dedup))
return 1
