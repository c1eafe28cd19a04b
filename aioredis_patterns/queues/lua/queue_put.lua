-- Put messages, to be claimed at once or after a delay, unless the like is pending or there are too many.
--
-- KEYS
--   1 ready     list or zset: ids that may be claimed
--   2 delayed   zset: ids by the time when they may be claimed (us)
--   3 messages  hash: records by id
--   4 index     hash: what is known of ids, tokens and dedup keys
--   5 waiters   zset: inboxes of the clients that wait, by the time they began (us)
--   6 recent    string: id of the message with this dedup key that was put within the window
-- ARGV
--   1 order     fifo, or the us of waiting that one level of priority is worth; 0 for any
--   2 most      messages that may wait; 0 for any number
--   3 priority  integer
--   4 delay     ms
--   5 ttl       ms, or 0
--   6 dedup     key, or nothing
--   7 window    ms in which no other message with this key is put; 0 for as long as the first is pending
--   8 group     that takes turns with others, or nothing
--   9 again     1 where, when the one like it was claimed already, this is put as soon as that has ended
--   10.. message its id, and what the client wrote
-- Returns
--   list of strings: for each message its id, or that of the one like it; nothing when there are too many
local ready, delayed, messages, index, waiters, recent = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local order, most, priority, delay, ttl, dedup = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local window, group, again = ARGV[7], ARGV[8], ARGV[9]

local texts = { unpack(ARGV, 10) }
local now = clock()
local like, tries = window ~= '0' and redis.call('GET', recent), 0
if dedup ~= '' and window == '0' then like = redis.call('HGET', index, 'd:' .. dedup) end
if like and window == '0' then
  local message = read(messages, like)
  tries = tonumber(redis.call('HGET', index, 'a:' .. like) or 0)
  if not message or is_over(message, tries, now) then like = nil end
end
local begun = like and again == '1' and tries > 0
if like and not begun then return { like } end
if not begun and most ~= '0' and size(ready, order) + redis.call('ZCARD', delayed) + #texts / 2 > tonumber(most) then return {} end

local expires = ttl == '0' and 0 or now + ttl * 1000
local mark = window == '0' and dedup or ''
local head = string.format('%.0f %.0f %s ', now, expires, priority) .. mark .. '\t' .. group .. '\n'
if begun then
  local id = string.match(redis.call('HGET', index, 'n:' .. dedup) or texts[1], '^%S+')
  redis.call('HSET', messages, id, head .. texts[2])
  redis.call('HSET', index, 'n:' .. dedup, string.format('%s %.0f', id, now + delay * 1000))
  return { id }
end
local ids, waited_for = {}, true
for at = 1, #texts, 2 do
  local id = texts[at]
  redis.call('HSET', messages, id, head .. texts[at + 1])
  if delay == '0' then
    push_back(ready, index, id, priority, order, now, group)
  else
    redis.call('ZADD', delayed, string.format('%.0f', now + delay * 1000), id)
  end
  waited_for = waited_for and wake(ready, waiters)
  ids[#ids + 1] = id
end
if mark ~= '' then redis.call('HSET', index, 'd:' .. mark, ids[1]) end
if window ~= '0' then redis.call('SET', recent, ids[1], 'PX', window) end
return ids
