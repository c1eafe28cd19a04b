-- Shared: what a token holds, and how that ends.

-- A hold: id, attempt, rank in `ready` (or -) and dedup key, so that an acknowledgement need not read the record.
local function parsed(hold)
  local id, attempt, rank, dedup = string.match(hold, '^(%S+) (%d+) (%S+) (.*)$')
  return { id = id, attempt = tonumber(attempt), rank = rank, dedup = dedup }
end

local function held(index, token)
  local hold = redis.call('HGET', index, 't:' .. token)
  return hold and parsed(hold)
end

local function let_go(leased, index, token)
  redis.call('ZREM', leased, token)
  redis.call('HDEL', index, 't:' .. token)
end
