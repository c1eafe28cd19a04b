-- Let dead letters be claimed again, with all their deliveries before them.
--
-- KEYS
--   1 ready     list or zset: ids that may be claimed
--   2 dead      zset: ids of the dead letters by the time of their death (us)
--   3 messages  hash: records by id
--   4 index     hash: what is known of ids, tokens and dedup keys
--   5 waiters   zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 order     fifo, or the us of waiting that one level of priority is worth; 0 for any
--   2.. id      of each dead letter
-- Returns
--   integer: how many there were
local ready, dead, messages, index, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local order = ARGV[1]

local now, count = clock(), 0
for _, id in ipairs({ unpack(ARGV, 2) }) do
  if redis.call('ZREM', dead, id) == 1 then
    redis.call('HDEL', index, 'a:' .. id, 'r:' .. id)
    local message = read(messages, id)
    if message then
      -- It was claimed in time, so its end counts no more, and it is pending again.
      redis.call('HSET', messages, id, (string.gsub(message.text, '^(%d+) %d+', '%1 0')))
      if message.dedup ~= '' then redis.call('HSETNX', index, 'd:' .. message.dedup, id) end
      push_back(ready, index, id, message.priority, order, now, message.group)
      wake(ready, waiters)
      count = count + 1
    end
  end
end
return count
