-- Shared: note that a client waits, and since when, for as long as it takes to note it again.

local function enroll(waiters, inbox, since)
  redis.call('ZADD', waiters, string.format('%.0f', since), inbox)
  redis.call('PEXPIRE', waiters, 5000)
end
