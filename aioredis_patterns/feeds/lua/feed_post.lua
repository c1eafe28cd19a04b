-- Posts an item on its own feed, unless it has been, and tells to whom it is to be brought.
-- KEYS
--   1 posts      zset, the feed's own items
--   2 items      hash, what is in them
--   3 state      hash, sequence, and the time of the newest item that was dropped
--   4 followers  hash, token of each follower to whom items are brought
-- ARGV
--   1 source  the feed, escaped
--   2 id      of the item
--   3 time    us since 1970; 0 for now
--   4 body    bytes
--   5 most    items that are kept
--   6 ttl     ms; 0 for ever
-- Returns
--   1 member     text
--   2 value      text
--   3 followers  list of names and tokens
local posts, items, state, followers = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local source, id, time, body, most, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])

local key = source .. '\t' .. id
local value, sequence = redis.call('HGET', items, key), ''
if value then
  sequence = string.match(value, '^%d+ (%d+)\n')
else
  local now = redis.call('TIME')
  if time == '0' then time = string.format('%.0f', now[1] * 1000000 + now[2]) end
  sequence = next_sequence(state)
  value = time .. ' ' .. sequence .. '\n' .. body
  put(posts, items, state, 'posts', sequence .. key, value, most, ttl)
end
return { sequence .. key, value, redis.call('HGETALL', followers) }
