-- End the messages whose handling succeeded, those that their tokens still hold.
--
-- KEYS
--   1 leased    zset: tokens by the end of their lease (us)
--   2 messages  hash: records by id
--   3 index     hash: what is known of ids, tokens and dedup keys
-- ARGV
--   for each delivery its token
-- Returns
--   list of integers, one for each token: 1 when it was held, 0 when the lease had moved on
local leased, messages, index = KEYS[1], KEYS[2], KEYS[3]

local names, answers, ids, fields = {}, {}, {}, {}
for at, token in ipairs(ARGV) do names[at] = 't:' .. token end
for at, claim in ipairs(redis.call('HMGET', index, unpack(names))) do
  answers[at] = claim and 1 or 0
  if claim then
    local hold = parsed(claim)
    ids[#ids + 1] = hold.id
    fields[#fields + 1] = names[at]
    fields[#fields + 1] = 'a:' .. hold.id
    unmark(index, hold.id, hold.dedup)
  end
end
if #ids > 0 then
  redis.call('ZREM', leased, unpack(ARGV))
  redis.call('HDEL', messages, unpack(ids))
  redis.call('HDEL', index, unpack(fields))
end
return answers
