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
local function add(id, attempt, message)
  for _, part in ipairs({ id, attempt, message.text }) do found[#found + 1] = part end
end

for number = 1, tonumber(count) do
  local hold = held(index, token .. ':' .. number)
  if not hold then break end
  add(hold.id, hold.attempt, read(messages, hold.id))
end
if #found > 1 then return found end

recover(ready, leased, dead, messages, index, tonumber(most), now)
promote(ready, delayed, messages, index, order, now)
local number = 0
for _ = 1, count + 100 do
  local id, rank = pop(ready, order)
  local message = id and read(messages, id)
  if message and message.expires > 0 and message.expires <= now then
    forget(messages, index, id, message.dedup)
  elseif message then
    number = number + 1
    local mine, attempt = token .. ':' .. number, redis.call('HINCRBY', index, 'a:' .. id, 1)
    redis.call('HSET', index, 't:' .. mine, id .. ' ' .. attempt .. ' ' .. rank)
    redis.call('ZADD', leased, string.format('%.0f', now + lease * 1000), mine)
    add(id, attempt, message)
  end
  if not id or number == tonumber(count) then break end
end

local more = size(ready, order) > 0
if number == 0 and inbox ~= '' then
  redis.call('ZADD', waiters, 'NX', string.format('%.0f', now), inbox)
  redis.call('PEXPIRE', waiters, 30000)
elseif inbox ~= '' then
  redis.call('ZREM', waiters, inbox)
end
if more and number > 0 then wake(ready, waiters) end
found[1] = more and 0 or next_due(delayed, leased, now)
return found
