-- Shared: the messages that may be claimed, in a list or by rank in a sorted set.

-- 4,096 levels of 2^40 messages each are whole numbers of a double.
local LEVEL = 2 ^ 40

local function push_back(ready, index, id, priority, order, now)
  if order == 'fifo' then
    redis.call('RPUSH', ready, id)
    return
  end
  local last = redis.call('HGET', index, 'last') or 0
  -- No two have the same place, so that equals stay in their order.
  local place = order == '0' and last + 1 or math.max(now, last + 1)
  redis.call('HSET', index, 'last', string.format('%.0f', place))
  local level = order == '0' and LEVEL or order
  redis.call('ZADD', ready, string.format('%.0f', place - priority * level), id)
end

local function push_front(ready, id, rank)
  if rank == '-' then
    redis.call('LPUSH', ready, id)
  else
    redis.call('ZADD', ready, rank, id)
  end
end

local function pop(ready, order)
  if order == 'fifo' then return redis.call('LPOP', ready), '-' end
  local first = redis.call('ZPOPMIN', ready)
  return first[1], first[2]
end

local function size(ready, order)
  if order == 'fifo' then return redis.call('LLEN', ready) end
  return redis.call('ZCARD', ready)
end
