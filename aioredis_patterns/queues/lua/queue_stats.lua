-- Count the messages of a queue by their state, as they would be if it were claimed from now.
--
-- KEYS
--   1 ready     list or zset: ids that may be claimed
--   2 delayed   zset: ids by the time when they may be claimed (us)
--   3 leased    zset: tokens by the end of their lease (us)
--   4 dead      zset: ids of the dead letters by the time of their death (us)
--   5 messages  hash: records by id
--   6 index     hash: what is known of ids, tokens and dedup keys
-- ARGV
--   1 order     fifo, or the us of waiting that one level of priority is worth; 0 for any
-- Returns
--   list of integers: ready, delayed, leased, dead, and the age of the one that is next (us; -1 when there is none)
local ready, delayed, leased, dead, messages, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local order = ARGV[1]

local now = clock()
local due, ended = redis.call('ZCOUNT', delayed, '-inf', now), redis.call('ZCOUNT', leased, '-inf', now)
local token = redis.call('ZRANGE', leased, '-inf', now, 'BYSCORE', 'LIMIT', 0, 1)[1]
local hold = token and held(index, token)
local next_ended = hold and hold.id
local next_due = redis.call('ZRANGE', delayed, '-inf', now, 'BYSCORE', 'LIMIT', 0, 1)[1]
local first = order == 'fifo' and (next_ended or redis.call('LINDEX', ready, 0))
if order ~= 'fifo' then first = redis.call('ZRANGE', ready, 0, 0)[1] or next_ended end
first = first or next_due
local message = first and read(messages, first)
return {
  size(ready, order) + due + ended,
  redis.call('ZCARD', delayed) - due,
  redis.call('ZCARD', leased) - ended,
  redis.call('ZCARD', dead),
  message and math.max(now - message.enqueued, 0) or -1,
}
