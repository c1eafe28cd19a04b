-- Logs: a list of hits, oldest first, each its time (us, 16 digits) and its cost in one number.
-- The last element is the sum of the costs; when the last hit is a reservation it is below zero, and the time (us) of
-- that being noted follows. No list is nothing hit.

local function parse(entry)
  return tonumber(string.sub(entry, 1, 16)) or 0, tonumber(string.sub(entry, 17)) or 0
end

-- The number of hits, their cost in all, the time of the last and when that was noted, and whether it is a reservation
-- that is not due yet.
local function read_log(log, now)
  local size = redis.call('LLEN', log) - 1
  if size < 1 then
    return 0, 0, 0, 0, false
  end
  local tail = redis.call('LRANGE', log, -2, -1)
  local total, noted = string.match(tail[2], '^(-?%d+) ?(%d*)$')
  local last = parse(tail[1])
  total = tonumber(total) or 0
  return size, math.abs(total), last, tonumber(noted or '') or last, total < 0 and last > now
end

-- How many of the hits, from the oldest on, are a period old, and their cost in all.
local function passed_hits(log, size, at, period)
  local passed, cost = 0, 0
  while passed < size do
    local step = passed == 0 and 1 or math.min(size - passed, 100)
    for _, entry in ipairs(redis.call('LRANGE', log, passed, passed + step - 1)) do
      local time, weight = parse(entry)
      if time + period > at then
        return passed, cost
      end
      passed, cost = passed + 1, cost + weight
    end
  end
  return passed, cost
end

-- The time when the hits from that one on, as far as they weigh so much, are a period old.
local function freed(log, from, size, weight, period)
  while weight > 0 and from < size do
    local step = math.min(weight, size - from, 100)
    for _, entry in ipairs(redis.call('LRANGE', log, from, from + step - 1)) do
      local time, cost = parse(entry)
      weight = weight - cost
      if weight <= 0 then
        return time + period
      end
    end
    from = from + step
  end
  return 0
end

-- Microseconds that a log is kept: until its last hit has passed. A clock that stepped back adds a period at most.
local function keeping(last, noted, now, period)
  return math.max(last + period - math.max(now, noted - period), 0)
end
