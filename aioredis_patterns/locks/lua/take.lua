-- Shared: give a free lock to a token, under a fence that is greater than every fence before.

-- The counter is seeded with the server's time when it is absent, so it may be evicted, and expires after a day: fewer
-- than a million acquisitions a second never overtake the clock.
local function draw(fence)
  local number = redis.call('INCR', fence)
  if number == 1 then
    number = clock()
    redis.call('SET', fence, string.format('%.0f', number), 'PX', 86400000)
  end
  return number
end

local function take(lock, fence, token, lease, owner)
  local number = draw(fence)
  redis.call('SET', lock, string.format('%s %.0f %s', token, number, owner), 'PX', lease)
  return number
end
