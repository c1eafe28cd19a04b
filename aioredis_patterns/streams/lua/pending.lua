-- Shared: who holds an entry of a log for a group, and how it is let go of.

local function held(log, group, consumer, id, attempt)
  local found = redis.pcall('XPENDING', log, group, id, id, 1)
  return not found.err and found[1] and found[1][2] == consumer and found[1][4] == tonumber(attempt)
end

-- The key lives an hour longer than what waits longest.
local function put_off(later, id, now, wait)
  redis.call('ZADD', later, string.format('%.0f', now + wait * 1000), id)
  if redis.call('PTTL', later) < wait + 3600000 then redis.call('PEXPIRE', later, wait + 3600000) end
end

-- Nobody's, it counts as idle for as long as it takes to be claimed, and is claimed when its time has come.
local function let_go(log, later, group, id, attempts, visibility, now, wait)
  redis.call('XCLAIM', log, group, '-', 0, id, 'IDLE', visibility, 'RETRYCOUNT', attempts, 'FORCE', 'JUSTID')
  put_off(later, id, now, wait)
end

-- Why those are dead letters whose last delivery was neither acknowledged nor given back.
local function too_often(attempts)
  return 'delivered ' .. attempts .. ' times'
end

local function bury(log, dead, later, group, id, attempts, why, now)
  local entry = redis.call('XRANGE', log, id, id)[1]
  local fields = entry and entry[2] or {}
  redis.call('XADD', dead, '*', 'id', id, 'attempts', attempts, 'reason', why, 'died', string.format('%.0f', now),
    unpack(fields))
  redis.call('XACK', log, group, id)
  redis.call('ZREM', later, id)
end
