-- Shared: give a free lock to a token, under a fence that is newer than every fence before.

-- The counter is seeded with the server's time in us when it is absent, so it may be evicted, or expire after a day:
-- fewer than a million acquisitions a second never overtake the clock.
local function take(lock, fence, token, lease, owner)
  local number = redis.call('INCR', fence)
  if number == 1 then
    local now = redis.call('TIME')
    number = now[1] * 1000000 + now[2]
    redis.call('SET', fence, string.format('%.0f', number), 'PX', 86400000)
  end
  redis.call('SET', lock, string.format('%s %.0f %s', token, number, owner), 'PX', lease)
  return number
end
