-- Shared: tell those that wait for items, as many as there are items, in the order in which they began.

-- Who is not there to hear it stands in nobody's way. In a cluster it may hear it on another node, and asks again.
local function announce(list, waiters)
  local count = math.min(redis.call('LLEN', list), 100)
  for _, inbox in ipairs(redis.call('ZRANGE', waiters, 0, 99)) do
    if count == 0 then return end
    if redis.pcall('PUBLISH', inbox, list) == 0 then
      redis.call('ZREM', waiters, inbox)
    else
      count = count - 1
    end
  end
end

local function cap(list, side, most)
  if most == 0 then return end
  if side == 'left' then
    redis.call('LTRIM', list, 0, most - 1)
  else
    redis.call('LTRIM', list, -most, -1)
  end
end
