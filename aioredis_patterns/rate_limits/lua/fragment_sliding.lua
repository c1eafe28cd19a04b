-- Sliding windows: the string 'start before count', when a window began (us), the units in the one before and in it.
-- With reservations ' due' follows, the time of the last one (us). The window before counts for the share of it that the
-- period up to now covers, rounded down. No string is nothing counted.

-- The two windows at a later time.
local function roll(start, before, count, at, period)
  local passed = math.floor((at - start) / period)
  if passed == 0 then
    return start, before, count
  elseif passed == 1 and count > 0 then
    return start + period, count, 0
  end
  return at, 0, 0
end

-- The two windows now, the time they are seen from, and when the last reservation is due, if it is not yet.
local function read_sliding(stored, now, period, most)
  local start, before, count, due = string.match(stored or '', '^(%d+) (%d+) (%d+) ?(%d*)$')
  start, before, count, due = tonumber(start), tonumber(before), tonumber(count), tonumber(due or '')
  if not start or math.max(start, due or 0) > 2 ^ 53 then
    return now, 0, 0, now
  end
  -- A clock that stepped back is stood still until it is where it was, or for a period at most.
  local at = math.max(now, start, due or 0)
  local excess = math.max(at - now - (due and most or period), 0)
  start, at = math.max(start - excess, 0), at - excess
  start, before, count = roll(start, before, count, at, period)
  return start, before, count, at, due and at > now and at or nil
end

-- What is left, in units.
local function sliding_room(start, before, count, at, limit, period)
  return limit - count - math.floor(before * (period - at + start) / period)
end

-- Microseconds from that time until there is room for the cost.
local function sliding_wait(start, before, count, at, limit, period, cost)
  local rest, room = period - (at - start), limit - count - cost
  if room < 0 then
    return rest + period - math.ceil((limit - cost + 1) * period / count) + 1
  elseif before * rest < (room + 1) * period then
    return 0
  end
  return rest - math.ceil((room + 1) * period / before) + 1
end

-- Microseconds from now until nothing weighs any more.
local function sliding_reset(start, before, count, now, period)
  return count > 0 and start + 2 * period - now or before > 0 and start + period - now or 0
end

local function write_sliding(windows, start, before, count, due, reset)
  local state = string.format('%.0f %.0f %.0f', start, before, count)
  if due then
    state = string.format('%s %.0f', state, due)
  end
  redis.call('SET', windows, state, 'PX', string.format('%.0f', math.floor(reset / 1000) + 2))
  return state
end
