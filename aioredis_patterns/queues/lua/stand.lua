-- Shared: note that a client waits, and since when, for as long as it takes to note it again.

-- Who died while it waited leaves its inbox until there is something for it: of a thousand two go, by chance. One that
-- is alive notes itself again when it looks for itself.
local function stand(waiters, inbox, since)
  if redis.call('ZCARD', waiters) >= 1000 then
    redis.call('ZREM', waiters, unpack(redis.call('ZRANDMEMBER', waiters, 2)))
  end
  redis.call('ZADD', waiters, 'NX', since, inbox)
  redis.call('PEXPIRE', waiters, 30000)
end
