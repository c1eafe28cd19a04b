-- Sliding windows: the string 'start before count period', how much was counted in two windows.
-- One began at `start` (us) and is `period` (us) long, `count` units are in it and `before` in the one before. With
-- reservations ' due noted' follows, the time of the last one and of this writing. The window before counts for the
-- share of it that the period up to now covers, rounded down. No string is nothing counted.

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

-- The two windows now, the time they are seen from, when the last reservation is due, if it is not yet, and whether
-- another period has counted them so far.
local function read_sliding(stored, now, period)
  local form = '^(%d+) (%d+) (%d+) ([1-9]%d*) ?(%d*) ?(%d*)$'
  local start, before, count, length, due, noted = string.match(stored or '', form)
  start, before, count, length = tonumber(start), tonumber(before), tonumber(count), tonumber(length)
  due, noted = tonumber(due or ''), tonumber(noted or '') or start
  if not start or math.max(start, length, due or 0, noted) > 2 ^ 53 then
    return now, 0, 0, now, nil, false
  end
  -- A clock that stepped back is stood still until it is where it was, or for a period at most.
  local at = math.max(now, start, due or 0)
  local excess = math.max(noted - now - period, 0)
  start, at = math.max(start - excess, 0), at - excess
  start, before, count = roll(start, before, count, at, length)
  if length ~= period then
    -- What weighs now counts as if it had come now.
    start, before, count = at, 0, count + math.floor(before * (length - at + start) / length)
  end
  if before + count == 0 then
    return now, 0, 0, now, nil, length ~= period
  end
  return start, before, count, at, due and at > now and at or nil, length ~= period
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

local function write_sliding(windows, start, before, count, period, due, now, reset)
  local state = string.format('%.0f %.0f %.0f %.0f', start, before, count, period)
  if due then
    state = string.format('%s %.0f %.0f', state, due, now)
  end
  redis.call('SET', windows, state, 'PX', string.format('%.0f', math.floor(reset / 1000) + 2))
  return state
end
