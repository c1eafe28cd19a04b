-- Shared: the generations of a barrier: who is there passes together, or is sent away.

-- With which index a token has passed, else nil. It is kept behind the second (x 10,000) in which that was.
local function passed_as(past, token)
  local score = redis.call('ZSCORE', past, token)
  return score and tonumber(score) % 10000
end

-- Let all who are there pass; they may ask for their index as long as they would count as alive.
local function pass(state, here, past, alive, seconds, keep, ttl)
  for number, token in ipairs(redis.call('ZRANGE', here, 0, -1)) do
    redis.call('ZADD', past, string.format('%.0f', seconds * 10000 + number - 1), token)
  end
  redis.call('ZREMRANGEBYSCORE', past, '-inf', string.format('%.0f', (seconds - keep) * 10000))
  redis.call('PEXPIRE', past, string.format('%.0f', keep * 1000))
  redis.call('DEL', here, alive)
  redis.call('HINCRBY', state, 'passed', 1)
  redis.call('PEXPIRE', state, ttl)
  redis.pcall('PUBLISH', state, 'passed')
end

-- Send away all who are there, and whoever comes, for a reason.
local function close(state, here, alive, reason, ttl)
  redis.call('DEL', here, alive)
  redis.call('HSET', state, 'broken', reason)
  redis.call('PEXPIRE', state, ttl)
  redis.pcall('PUBLISH', state, 'broken')
  return { -1, 0, reason }
end
