-- Shared: clients that wait for a lock.

-- When a client began to wait, in us of the server's clock.
local function began(waited)
  local now = redis.call('TIME')
  return now[1] * 1000000 + now[2] - waited
end

-- A client waits: noted for as long as it takes to note it again.
local function enroll(waiters, inbox, since)
  redis.call('ZADD', waiters, string.format('%.0f', since), inbox)
  redis.call('PEXPIRE', waiters, 5000)
end

-- The lock is free: tell the client that has waited longest. An inbox that nobody hears belongs to a client that is
-- gone, and the next one is told; in a cluster its subscriber may be on another node, and one too many is told.
local function wake(lock, waiters)
  for _ = 1, 100 do
    local first = redis.call('ZPOPMIN', waiters)
    if not first[1] then return end
    if redis.pcall('PUBLISH', first[1], lock) ~= 0 then return end
  end
end
