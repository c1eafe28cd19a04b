-- Shared: tell the client that has waited longest that a lock is free.

-- An inbox that nobody hears belongs to a client that is gone: the next one is told. In a cluster its subscriber may
-- be on another node, and one client more than needed is told.
local function wake(lock, waiters)
  for _ = 1, 100 do
    local first = redis.call('ZPOPMIN', waiters)
    if not first[1] then return end
    local heard = redis.pcall('PUBLISH', first[1], lock)
    if heard ~= 0 then return end
  end
end

-- A client waits: noted by the time it began, for as long as it takes to note it again.
local function enroll(waiters, inbox, waited)
  local now = redis.call('TIME')
  local since = now[1] * 1000000 + now[2] - waited
  redis.call('ZADD', waiters, string.format('%.0f', since), inbox)
  redis.call('PEXPIRE', waiters, 5000)
end
