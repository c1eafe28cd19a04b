-- Shared: one message, from its record to its end.

-- Why those are dead letters whose last delivery was neither acknowledged nor given back.
local LEASE_ENDED = 'its lease ended'

-- A record: enqueued (us), expires (us, or 0), priority, dedup key, tab and group in one line, then
-- what the client wrote. What somebody else has written is claimed as it is, and its client cannot read it.
local function opened(record)
  local enqueued, expires, priority, dedup, group =
    string.match(record, '^(%d+) (%d+) (-?%d+) ([^\t\n]*)\t?([^\n]*)\n')
  return {
    text = record,
    enqueued = tonumber(enqueued or 0),
    expires = tonumber(expires or 0),
    priority = tonumber(priority or 0),
    dedup = dedup or '',
    group = group or '',
  }
end

local function read(messages, id)
  local record = redis.call('HGET', messages, id)
  return record and opened(record)
end

-- Its time has passed, and nobody has claimed it.
local function is_over(message, attempts, now)
  return message.expires > 0 and message.expires <= now and tonumber(attempts or 0) == 0
end

-- What was put meanwhile to run again has the mark from now on; it is the answer.
local function unmark(index, id, dedup)
  if dedup == '' or redis.call('HGET', index, 'd:' .. dedup) ~= id then return end
  local put = redis.call('HGET', index, 'n:' .. dedup)
  redis.call('HDEL', index, 'd:' .. dedup, 'n:' .. dedup)
  if put then redis.call('HSET', index, 'd:' .. dedup, string.match(put, '^%S+')) end
  return put
end

local function forget(messages, index, id, dedup)
  redis.call('HDEL', messages, id)
  redis.call('HDEL', index, 'a:' .. id, 'r:' .. id)
  return unmark(index, id, dedup)
end

local function bury(dead, index, id, dedup, reason, now)
  redis.call('ZADD', dead, string.format('%.0f', now), id)
  redis.call('HSET', index, 'r:' .. id, reason)
  return unmark(index, id, dedup)
end
