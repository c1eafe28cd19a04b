-- Shared: tell the client that has waited longest that there is something to claim; false when nobody waits.

-- An inbox that nobody hears belongs to a client that is gone, and the next one is told. In a cluster its subscriber
-- may be on another node, and one client too many is told.
local function wake(ready, waiters)
  for _ = 1, 100 do
    local first = redis.call('ZPOPMIN', waiters)
    if not first[1] then return false end
    if redis.pcall('PUBLISH', first[1], ready) ~= 0 then return true end
  end
  return true
end
