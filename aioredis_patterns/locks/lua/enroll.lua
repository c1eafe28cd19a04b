-- Shared: note that a client waits, and since when, for as long as it takes to note it again.

-- Who died while it waited leaves its inbox until the lock is free, which may be in weeks: of a thousand two go, by
-- chance. One that is alive notes itself again within a second.
local function enroll(waiters, inbox, since)
  if redis.call('ZCARD', waiters) >= 1000 then
    redis.call('ZREM', waiters, unpack(redis.call('ZRANDMEMBER', waiters, 2)))
  end
  redis.call('ZADD', waiters, string.format('%.0f', since), inbox)
  redis.call('PEXPIRE', waiters, 5000)
end
