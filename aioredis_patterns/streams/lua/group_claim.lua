-- Claims entries for a consumer of a group: those whose time has come again, then new ones.
--
-- KEYS
--   1 log      stream
--   2 dead     stream: the dead letters of the group
--   3 later    zset: ids that were given back or held longer, by the time they may be claimed (us)
--   4 state    hash: next, when to look again for consumers that died (us); from, where that look goes on
--   5 claim    string: the ids that this call gets, each with its attempt
--   6 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 group       text
--   2 consumer    text
--   3 count       entries at most
--   4 visibility  ms
--   5 most        deliveries of one entry
--   6 start       id where the group begins if there is none
--   7 ordered     1 to give one entry at a time, and no other before it is done with
--   8 inbox       channel of the client that waits; empty when it does not
-- Returns
--   list: ms until more may be claimable (-1 when nothing is known), then attempt, id, key, headers, payload of each
local log, dead, later, state, claim, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local group, consumer, count, visibility = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local most, start, ordered, inbox = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]

local now, found, names, more = clock(), {-1}, {}, false
-- First a write that a full server allows: then it allows the others.
redis.call('ZREM', later, '')
local pending = redis.pcall('XPENDING', log, group)
if pending.err then
  if redis.call('EXISTS', log) == 0 then start = '0' end
  redis.call('XGROUP', 'CREATE', log, group, start, 'MKSTREAM')
  pending = {0}
end
local function give(entry, attempt)
  names[#names + 1] = entry[1] .. ' ' .. attempt
  found[#found + 1] = attempt
  append_entry(found, entry)
end
local function retry(id)
  local idle = redis.call('XPENDING', log, group, 'IDLE', visibility, id, id, 1)[1]
  redis.call('ZREM', later, id)
  if not idle then return end
  more = true
  if idle[4] >= most then return bury(log, dead, later, group, id, idle[4], too_often(idle[4]), now) end
  local entry = redis.call('XCLAIM', log, group, consumer, 0, id, 'RETRYCOUNT', idle[4] + 1)[1]
  if entry then give(entry, idle[4] + 1) else redis.call('XACK', log, group, id) end
end

local head = ordered == '1' and pending[1] > 0 and pending[2]
if head then
  local at = redis.call('ZSCORE', later, head)
  if not at or tonumber(at) <= now then retry(head) end
  count = 0
else
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, count)) do retry(id) end
end
local again = tonumber(redis.call('HGET', state, 'next') or 0)
if #names < count and pending[1] > 0 and again <= now then
  local from = redis.call('HGET', state, 'from') or '-'
  local idle = redis.call('XPENDING', log, group, 'IDLE', visibility, from, '+', 100)
  for _, one in ipairs(idle) do
    if #names == count then break end
    if not redis.call('ZSCORE', later, one[1]) then retry(one[1]) end
    from = '(' .. one[1]
  end
  more = #idle == 100 or #names == count
  if not more then from, again = '-', now + math.min(visibility * 250, 1000000) end
  redis.call('HSET', state, 'from', from, 'next', string.format('%.0f', again))
  redis.call('PEXPIRE', state, 60000)
end
if #names < count then
  local fresh = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count - #names, 'STREAMS', log, '>')
  for _, entry in ipairs(fresh and fresh[1][2] or {}) do give(entry, 1) end
end

if #names > 0 then
  redis.call('SET', claim, table.concat(names, '\n'), 'PX', 60000)
  return found
end
-- Behind the first of a partition the others wait for its end, whenever their own time comes.
local first = more and now or head and redis.call('ZSCORE', later, head)
  or not head and redis.call('ZRANGE', later, 0, 0, 'WITHSCORES')[2]
if first then found[1] = math.max(math.ceil((first - now) / 1000), 1) end
if inbox ~= '' then wait(waiters, inbox, now) end
return found
