-- Shared: what a token holds, and how that ends.

local function held(index, token)
  local claim = redis.call('HGET', index, 't:' .. token)
  if not claim then return end
  local id, attempt, rank = string.match(claim, '^(%S+) (%d+) (%S+)$')
  return { id = id, attempt = tonumber(attempt), rank = rank }
end

local function let_go(leased, index, token)
  redis.call('ZREM', leased, token)
  redis.call('HDEL', index, 't:' .. token)
end
