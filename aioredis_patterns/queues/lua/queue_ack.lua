-- End the messages whose handling succeeded, those that their tokens still hold.
--
-- KEYS
--   1 ready     list or zset: ids that may be claimed
--   2 delayed   zset: ids by the time when they may be claimed (us)
--   3 leased    zset: tokens by the end of their lease (us)
--   4 messages  hash: records by id
--   5 index     hash: what is known of ids, tokens and dedup keys
--   6 waiters   zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 order     fifo, or the us of waiting that one level of priority is worth; 0 for any
--   2.. token   of each delivery
-- Returns
--   list of integers, one for each token: 1 when it was held, 0 when the lease had moved on
local ready, delayed, leased, messages, index, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local order = ARGV[1]

local tokens = { unpack(ARGV, 2) }
local names, answers, ids, fields, again = {}, {}, {}, {}, {}
for at, token in ipairs(tokens) do names[at] = 't:' .. token end
for at, claim in ipairs(redis.call('HMGET', index, unpack(names))) do
  answers[at] = claim and 1 or 0
  if claim then
    local hold = parsed(claim)
    ids[#ids + 1] = hold.id
    fields[#fields + 1] = names[at]
    fields[#fields + 1] = 'a:' .. hold.id
    again[#again + 1] = unmark(index, hold.id, hold.dedup)
  end
end
if #ids > 0 then
  redis.call('ZREM', leased, unpack(tokens))
  redis.call('HDEL', messages, unpack(ids))
  redis.call('HDEL', index, unpack(fields))
end
for _, put in ipairs(again) do run_again(ready, delayed, messages, index, waiters, order, clock(), put) end
return answers
