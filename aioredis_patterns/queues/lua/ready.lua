-- Shared: the messages that may be claimed, in a list or by rank in a sorted set.

-- 4,096 levels of 2^40 messages each are whole numbers of a double.
local LEVEL = 2 ^ 40

-- With aging the place is the time. Without, each group of a priority counts on from its own last place, or from the
-- one claimed last when it was away, so that groups take turns however much each has put.
local function next_place(index, priority, group, order, now)
  local own = order == '0' and 'l:' .. priority .. ':' .. group or 'last'
  local last, turn = unpack(redis.call('HMGET', index, own, 'v:' .. priority))
  local place = math.max((last or 0) + 1, order == '0' and (turn or 0) + 1 or now)
  redis.call('HSET', index, own, string.format('%.0f', place))
  return place
end

local function push_back(ready, index, id, priority, order, now, group)
  if order == 'fifo' then
    redis.call('RPUSH', ready, id)
    return
  end
  local place = next_place(index, priority, group or '', order, now)
  local level = order == '0' and LEVEL or order
  redis.call('ZADD', ready, string.format('%.0f', place - priority * level), id)
end

local function pass(index, message, rank)
  local place, turn = rank + message.priority * LEVEL, 'v:' .. message.priority
  if place > tonumber(redis.call('HGET', index, turn) or 0) then
    redis.call('HSET', index, turn, string.format('%.0f', place))
  end
  local own = 'l:' .. message.priority .. ':' .. message.group
  if message.group ~= '' and tonumber(redis.call('HGET', index, own) or 0) <= place then
    redis.call('HDEL', index, own)
  end
end

local function push_front(ready, id, rank)
  if rank == '-' then
    redis.call('LPUSH', ready, id)
  else
    redis.call('ZADD', ready, rank, id)
  end
end

local function pop(ready, order, count)
  local ids, ranks = {}, {}
  if order == 'fifo' then return redis.call('LPOP', ready, count) or ids, ranks end
  local pairs_of = redis.call('ZPOPMIN', ready, count)
  for at = 1, #pairs_of, 2 do
    ids[#ids + 1], ranks[#ranks + 1] = pairs_of[at], pairs_of[at + 1]
  end
  return ids, ranks
end

local function size(ready, order)
  if order == 'fifo' then return redis.call('LLEN', ready) end
  return redis.call('ZCARD', ready)
end
