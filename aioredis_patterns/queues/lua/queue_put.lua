-- Put messages, to be claimed at once or after a delay, but those of which the like is pending.
--
-- KEYS
--   1 ready     list or zset: ids that may be claimed
--   2 delayed   zset: ids by the time when they may be claimed (us)
--   3 messages  hash: records by id
--   4 index     hash: what is known of ids, tokens and dedup keys
--   5 waiters   zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 order     fifo, or the us of waiting that one level of priority is worth; 0 for any
--   2 priority  integer
--   3 delay     ms
--   4 ttl       ms, or 0
--   5.. message  its id, its dedup key or nothing, and what the client wrote
-- Returns
--   list of strings: for each message its id, or that of the one that is pending
local ready, delayed, messages, index, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local order, priority, delay, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local now = clock()
local expires = ttl == '0' and 0 or now + ttl * 1000
local head = string.format('%.0f %.0f %s ', now, expires, priority)
local ids, waited_for = {}, true
local texts = { unpack(ARGV, 5) }
for at = 1, #texts, 3 do
  local id, dedup, body = texts[at], texts[at + 1], texts[at + 2]
  local pending = dedup ~= '' and redis.call('HGET', index, 'd:' .. dedup)
  if not pending then
    redis.call('HSET', messages, id, head .. dedup .. '\n' .. body)
    if dedup ~= '' then redis.call('HSET', index, 'd:' .. dedup, id) end
    if delay == '0' then
      push_back(ready, index, id, priority, order, now)
    else
      redis.call('ZADD', delayed, string.format('%.0f', now + delay * 1000), id)
    end
    waited_for = waited_for and wake(ready, waiters)
  end
  ids[#ids + 1] = pending or id
end
return ids
