-- End a message together with the writes of its handler, if the token still holds it.
--
-- KEYS
--   1 leased    zset: tokens by the end of their lease (us)
--   2 dead      zset: ids of the dead letters by the time of their death (us)
--   3 messages  hash: records by id
--   4 index     hash: what is known of ids, tokens and dedup keys
--   5.. key     of the handler, for its writes
-- ARGV
--   1 token     of the delivery
--   2 id        of the message
--   3.. command the number of its words, and these
-- Returns
--   integer: 1 when it was held, 0 when the lease had moved on; or why it is a dead letter
local leased, dead, messages, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, id = ARGV[1], ARGV[2]

local hold = held(index, token)
if not hold then return redis.call('ZSCORE', dead, id) and redis.call('HGET', index, 'r:' .. id) or 0 end
let_go(leased, index, token)
local at = 3
while at <= #ARGV do
  local last = at + ARGV[at]
  local answer = redis.pcall(unpack(ARGV, at + 1, last))
  if type(answer) == 'table' and answer.err then
    -- What was written before stays written, so to try it again would write it twice.
    bury(dead, index, id, hold.dedup, answer.err, clock())
    return answer.err
  end
  at = last + 1
end
forget(messages, index, id, hold.dedup)
return 1
