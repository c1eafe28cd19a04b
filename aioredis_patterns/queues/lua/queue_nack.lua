-- Give back a message whose handling failed: to the tail, to a later time, or to the dead letters.
--
-- KEYS
--   1 ready     list or zset: ids that may be claimed
--   2 delayed   zset: ids by the time when they may be claimed (us)
--   3 leased    zset: tokens by the end of their lease (us)
--   4 dead      zset: ids of the dead letters by the time of their death (us)
--   5 messages  hash: records by id
--   6 index     hash: what is known of ids, tokens and dedup keys
--   7 waiters   zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 token     of the delivery
--   2 delay     ms
--   3 reason    text
--   4 most      deliveries of one message; 0 when this was the last in any case
--   5 order     fifo, or the us of waiting that one level of priority is worth; 0 for any
-- Returns
--   integer: 1 when it was held, 0 when the lease had moved on
local ready, delayed, leased, dead, messages, index, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local token, delay, reason, most, order = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local hold = held(index, token)
if not hold then return 0 end
local now = clock()
local message = read(messages, hold.id)
let_go(leased, index, token)
if not message then return 0 end
if hold.attempt >= tonumber(most) then
  local put = bury(dead, index, hold.id, message.dedup, reason, now)
  run_again(ready, delayed, messages, index, waiters, order, now, put)
  return 1
end
if delay == '0' then
  push_back(ready, index, hold.id, message.priority, order, now, message.group)
else
  redis.call('ZADD', delayed, string.format('%.0f', now + delay * 1000), hold.id)
end
wake(ready, waiters)
return 1
