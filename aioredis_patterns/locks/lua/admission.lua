-- Shared: the line of a lock that readers share and writers have alone, and who is let in next.

-- A place in the line is the time of joining (us), moved into one of four ranges, which are served in this order: the
-- reader who wants to write, readers who came while somebody wrote, writers, readers who came behind a waiting writer.
-- The last range joins the second whenever a writer is let in, so readers and writers take turns.
local FIRST, AHEAD, BEHIND, TO_AHEAD = -9e15, -4e15, 4e15, '-8000000000000000'

local function linger(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, math.ceil(ms)) end
end

local function read(readers, token, now, lease)
  redis.call('ZADD', readers, string.format('%.0f', now + lease * 1000), token)
  linger(readers, lease)
end

local function write(lock, fence, line, token, lease, owner)
  for _, reader in ipairs(redis.call('ZRANGE', line, string.format('%.0f', BEHIND), '+inf', 'BYSCORE')) do
    redis.call('ZINCRBY', line, TO_AHEAD, reader)
  end
  return take(lock, fence, token, lease, owner)
end

-- The end of a range, also when the clock was set back.
local function place_in(line, range, now)
  if range == FIRST then return range end
  local ends = string.format('%.0f', range - AHEAD)
  local last = redis.call('ZRANGE', line, ends, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')[2]
  return math.max(range + now, (last or FIRST) + 1)
end

local function leave(line, beats, waiter)
  redis.call('ZREM', line, waiter)
  redis.call('ZREM', beats, waiter)
end

-- Forget the readers whose leases are over, and who waits without a sign of life.
local function prune(readers, line, beats, now)
  redis.call('ZREMRANGEBYSCORE', readers, '-inf', now)
  for _, waiter in ipairs(redis.call('ZRANGE', beats, '-inf', now, 'BYSCORE')) do
    leave(line, beats, waiter)
  end
end

-- How many read beside this token.
local function others(readers, token)
  return redis.call('ZCARD', readers) - (redis.call('ZSCORE', readers, token) and 1 or 0)
end

-- Let in the first of the line, and with a reader all readers before the next writer. Each has until the end of its
-- sign of life to confirm.
local function admit(lock, fence, readers, line, beats, now)
  local first = redis.call('EXISTS', lock) == 0 and redis.call('ZRANGE', line, 0, 0)[1]
  while first do
    local mode, token, inbox, owner = string.match(first, '^(%S+) (%S+) (%S+) (.*)$')
    if mode ~= 'r' and others(readers, token) > 0 then return end
    local left = math.max(math.ceil(((redis.call('ZSCORE', beats, first) or now) - now) / 1000), 1)
    leave(line, beats, first)
    if mode == 'r' then
      read(readers, token, now, left)
    else
      write(lock, fence, line, token, left, owner)
    end
    redis.pcall('PUBLISH', inbox, token)
    first = mode == 'r' and redis.call('ZRANGE', line, 0, 0)[1]
  end
end
