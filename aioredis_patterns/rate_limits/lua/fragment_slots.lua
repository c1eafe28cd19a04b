-- Slots: those that are held, each a token by the time when its lease ends (us), and the line of those who wait.
-- A waiter is a token and the channel of its client, by the time when it joined and by the time until which it counts
-- as alive (us).

local SILENCE = 2500000 -- us without a word after which a waiter is taken for gone

-- Drops the slots that have expired, and says how many are free.
local function free_slots(slots, limit, now)
  redis.call('ZREMRANGEBYSCORE', slots, '-inf', string.format('%.0f', now))
  return limit - redis.call('ZCARD', slots)
end

-- Microseconds until so many slots and one more have ended, or all of them.
local function until_end(slots, number, now)
  number = math.min(number, redis.call('ZCARD', slots) - 1)
  local found = redis.call('ZRANGE', slots, number, number, 'WITHSCORES')
  return found[2] and math.max(found[2] - now, 0) or 0
end

-- The same, or until one of those who wait falls silent, where nothing is held and a free slot is kept for them.
local function until_turn(slots, heard, number, now)
  local left = until_end(slots, number, now)
  if left > 0 then
    return left
  end
  local after = string.format('(%.0f', now)
  local first = redis.call('ZRANGE', heard, after, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  return first[2] and first[2] - now or 0
end

local function hold(slots, token, lease, now)
  redis.call('ZADD', slots, string.format('%.0f', now + lease * 1000), token)
  if redis.call('PTTL', slots) < lease then
    redis.call('PEXPIRE', slots, lease)
  end
end

local function leave_line(line, heard, waiter)
  redis.call('ZREM', line, waiter)
  redis.call('ZREM', heard, waiter)
end

local function drop_silent(line, heard, now)
  for _, waiter in ipairs(redis.call('ZRANGEBYSCORE', heard, '-inf', string.format('%.0f', now), 'LIMIT', 0, 100)) do
    leave_line(line, heard, waiter)
  end
end

-- Wakes those at the head of the line for whom there are slots.
local function call_first(line, free)
  if free > 0 then
    for _, waiter in ipairs(redis.call('ZRANGE', line, 0, free - 1)) do
      local token, inbox = string.match(waiter, '^(%S+) (.*)$')
      redis.pcall('PUBLISH', inbox, token)
    end
  end
end
