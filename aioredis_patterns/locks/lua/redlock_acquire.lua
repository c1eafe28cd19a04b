-- Vote for a token, as one of several servers: when the lock is free here, or has this token already.
--
-- KEYS
--   1 lock   string: the token; lives as long as the lease
--   2 fence  string: the newest fence of this lock, and the run of the server in which it was noted
-- ARGV
--   1 token  of the acquisition
--   2 lease  ms
-- Returns
--   list: the newest fence known here, or minus the time that the other's lease has left (ms); 1 when the server knows
--   who held the lock a lease ago, 0 when it may have been started since and have forgotten it
local lock, fence = KEYS[1], KEYS[2]
local token, lease = ARGV[1], ARGV[2]

local held = redis.call('GET', lock)
if held and held ~= token then
  return { -math.max(redis.call('PTTL', lock), 1), 1 }
end

local newest, noted = read_note(redis.call('GET', fence))
local run, uptime = this_run()
local young = uptime and uptime * 1000 <= lease + 1000 and noted ~= run
redis.call('SET', lock, token, 'PX', lease)
return { newest or clock(), young and 0 or 1 }
