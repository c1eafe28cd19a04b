-- Shared: tell every client that waits that there is something new; each asks for itself.

local function ring(log, waiters)
  local inboxes = redis.call('ZRANGE', waiters, 0, -1)
  if #inboxes == 0 then return end
  redis.call('DEL', waiters)
  for _, inbox in ipairs(inboxes) do
    redis.pcall('PUBLISH', inbox, log)
  end
end

-- Who waits asks again within 15 s; one that did not in 30 is gone, and would stay for as long as others wait.
local function wait(waiters, inbox, now)
  redis.call('ZREMRANGEBYSCORE', waiters, '-inf', string.format('%.0f', now - 30000000))
  redis.call('ZADD', waiters, string.format('%.0f', now), inbox)
  redis.call('PEXPIRE', waiters, 30000)
end
