-- Lists of items, newest first: an item's place is its time (us) and then its member.
--
-- A member is the item's sequence in 13 digits, its source, a tab and its id. `items` has by source, tab and id the
-- time, a blank, the sequence and a line's end, then what the client wrote.

local function expire(key, ttl)
  if ttl > 0 then redis.call('PEXPIRE', key, ttl) end
end

local function next_sequence(state)
  return string.format('%013.0f', redis.call('HINCRBY', state, 'sequence', 1))
end

-- Remembers how new the newest item is that a list has lost.
local function lose(state, lost, time, ttl)
  if time <= tonumber(redis.call('HGET', state, lost) or 0) then return end
  redis.call('HSET', state, lost, string.format('%.0f', time))
  expire(state, ttl)
end

local function put(list, items, state, lost, member, value, most, ttl)
  redis.call('HSET', items, string.sub(member, 14), value)
  redis.call('ZADD', list, string.match(value, '^%d+'), member)
  local excess = math.min(redis.call('ZCARD', list) - most, 1000)
  if excess > 0 then
    local oldest = redis.call('ZRANGE', list, 0, excess - 1, 'WITHSCORES')
    for at = 1, #oldest, 2 do
      redis.call('ZREM', list, oldest[at])
      redis.call('HDEL', items, string.sub(oldest[at], 14))
    end
    lose(state, lost, tonumber(oldest[#oldest]), ttl)
  end
  expire(list, ttl)
  expire(items, ttl)
  expire(state, ttl)
end
