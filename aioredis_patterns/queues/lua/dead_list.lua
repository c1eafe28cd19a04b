-- Read dead letters.
--
-- KEYS
--   1 dead      zset: ids of the dead letters by the time of their death (us)
--   2 messages  hash: records by id
--   3 index     hash: what is known of ids, tokens and dedup keys
-- ARGV
--   1.. id      of each dead letter
-- Returns
--   list: for each that is there its id, when it was put and when it died (us), its deliveries, reason and record
local dead, messages, index = KEYS[1], KEYS[2], KEYS[3]

local found = {}
for _, id in ipairs(ARGV) do
  local died, message = redis.call('ZSCORE', dead, id), read(messages, id)
  if died and message then
    found[#found + 1] = id
    found[#found + 1] = string.format('%.0f', message.enqueued)
    found[#found + 1] = died
    found[#found + 1] = redis.call('HGET', index, 'a:' .. id) or '0'
    found[#found + 1] = redis.call('HGET', index, 'r:' .. id) or ''
    found[#found + 1] = message.text
  end
end
return found
