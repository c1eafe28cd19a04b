-- Remove dead letters for good.
--
-- KEYS
--   1 dead      zset: ids of the dead letters by the time of their death (us)
--   2 messages  hash: records by id
--   3 index     hash: what is known of ids, tokens and dedup keys
-- ARGV
--   1.. id      of each dead letter
-- Returns
--   integer: how many there were
local dead, messages, index = KEYS[1], KEYS[2], KEYS[3]

local count = 0
for _, id in ipairs(ARGV) do
  if redis.call('ZREM', dead, id) == 1 then
    forget(messages, index, id, '')
    count = count + 1
  end
end
return count
