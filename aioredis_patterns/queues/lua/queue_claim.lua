-- Claim messages under a token each, after those whose lease or delay has passed were made claimable.
--
-- KEYS
--   1 ready     list or zset: ids that may be claimed
--   2 delayed   zset: ids by the time when they may be claimed (us)
--   3 leased    zset: tokens by the end of their lease (us)
--   4 dead      zset: ids of the dead letters by the time of their death (us)
--   5 messages  hash: records by id
--   6 index     hash: what is known of ids, tokens and dedup keys
--   7 waiters   zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 token     of this call; each message has it with its number behind it
--   2 count     messages at most
--   3 lease     ms
--   4 most      deliveries of one message
--   5 order     fifo, or the us of waiting that one level of priority is worth; 0 for any
--   6 inbox     channel of the client, which is told of the next message; empty when it does not wait
-- Returns
--   list: ms until more may be claimable (-1 when nothing is pending), then for each message id, attempt and record
local ready, delayed, leased, dead, messages, index, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local token, count, lease, most, order, inbox = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local now = clock()
local found = { 0 }
local function append(list, first, second)
  list[#list + 1], list[#list + 2] = first, second
end
local function add(id, attempt, message)
  append(found, id, attempt)
  found[#found + 1] = message.text
end

for number = 1, tonumber(count) do
  local hold = held(index, token .. ':' .. number)
  if not hold then break end
  add(hold.id, hold.attempt, read(messages, hold.id))
end
if #found > 1 then return found end

recover(ready, delayed, leased, dead, messages, index, waiters, order, tonumber(most), now)
promote(ready, delayed, messages, index, order, now)
local number, left = 0, count + 100
while number < tonumber(count) and left > 0 do
  local ids, ranks = pop(ready, order, math.min(count - number, left))
  if #ids == 0 then break end
  left = left - #ids
  local names, fields, ends = {}, {}, {}
  for at, id in ipairs(ids) do names[at] = 'a:' .. id end
  local attempts = redis.call('HMGET', index, unpack(names))
  for at, record in ipairs(redis.call('HMGET', messages, unpack(ids))) do
    local message = record and opened(record)
    if message and order == '0' then pass(index, message, ranks[at]) end
    if message and is_over(message, attempts[at], now) then
      local put = forget(messages, index, ids[at], message.dedup)
      run_again(ready, delayed, messages, index, waiters, order, now, put)
    elseif message then
      number = number + 1
      local mine, attempt = token .. ':' .. number, (attempts[at] or 0) + 1
      add(ids[at], attempt, message)
      append(ends, string.format('%.0f', now + lease * 1000), mine)
      append(fields, names[at], attempt)
      append(fields, 't:' .. mine, table.concat({ ids[at], attempt, ranks[at] or '-', message.dedup }, ' '))
    end
  end
  if #ends > 0 then
    redis.call('ZADD', leased, unpack(ends))
    redis.call('HSET', index, unpack(fields))
  end
end

local more = size(ready, order) > 0
if number == 0 and inbox ~= '' then
  stand(waiters, inbox, string.format('%.0f', now))
elseif inbox ~= '' then
  redis.call('ZREM', waiters, inbox)
end
if more and number > 0 then wake(ready, waiters) end
found[1] = more and 0 or next_due(delayed, leased, now)
return found
