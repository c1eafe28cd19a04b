-- Take back a claim as if it had never been: its messages go to the front, and no attempt is charged.
--
-- KEYS
--   1 ready     list or zset: ids that may be claimed
--   2 leased    zset: tokens by the end of their lease (us)
--   3 messages  hash: records by id
--   4 index     hash: what is known of ids, tokens and dedup keys
--   5 waiters   zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 inbox     channel of the client that waits no more; empty when it has not waited, or another of its tasks does
--   2.. token   of each delivery
-- Returns
--   integer: how many of them were held
local ready, leased, messages, index, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local inbox = ARGV[1]

local tokens, count = { unpack(ARGV, 2) }, 0
for at = #tokens, 1, -1 do
  local hold = held(index, tokens[at])
  if hold then
    let_go(leased, index, tokens[at])
    if redis.call('HEXISTS', messages, hold.id) == 1 then
      redis.call('HINCRBY', index, 'a:' .. hold.id, -1)
      push_front(ready, hold.id, hold.rank)
    end
    count = count + 1
  end
end
-- The wake-up of a message that is still there may have been meant for the one that gave up.
if inbox ~= '' then redis.call('ZREM', waiters, inbox) end
if count > 0 or redis.call('EXISTS', ready) == 1 then wake(ready, waiters) end
return count
