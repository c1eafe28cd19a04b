-- Shared: the permits of a semaphore, one member for each, with the time at which it expires (us).

-- How many permits a token stands for.
local function width(token)
  return tonumber(string.match(token, '^%d+'))
end

-- Drop the permits that have expired, and count the others.
local function taken(permits, now)
  redis.call('ZREMRANGEBYSCORE', permits, '-inf', string.format('%.0f', now))
  return redis.call('ZCARD', permits)
end

-- Let a token hold its permits for a lease (ms) from now on.
local function hold(permits, token, lease, now)
  local ends = string.format('%.0f', now + lease * 1000)
  for number = 1, width(token) do
    redis.call('ZADD', permits, ends, token .. ':' .. number)
  end
  if redis.call('PTTL', permits) < tonumber(lease) then redis.call('PEXPIRE', permits, lease) end
end

-- Give back what a token holds; how many permits that were.
local function drop(permits, token)
  local dropped = 0
  for number = 1, width(token) do
    dropped = dropped + redis.call('ZREM', permits, token .. ':' .. number)
  end
  return dropped
end
