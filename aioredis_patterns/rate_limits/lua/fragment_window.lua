-- Fixed windows: an integer that expires when its window ends, the units counted in it.
-- No string is a window that has not begun. With reservations it is 'count length lead' and expires with the last
-- window that has some: the units in that one, its length (ms), and how far its end was ahead when this was written
-- (ms). The windows before it are full.

-- The units of that window, the ms until its end, its length, and whether it is still to come.
local function read_window(stored, left, period)
  local count, length, lead = string.match(stored or '', '^(%d+) ([1-9]%d*) (%d+)$')
  if not count then
    count = tonumber(stored or '0')
    if not count or count % 1 ~= 0 or count < 0 or count > 2 ^ 53 then
      count = 0
    end
    return count, left < 0 and period or math.min(left, period), period, false
  end
  count, length, lead = tonumber(count), tonumber(length), tonumber(lead)
  -- A clock that stepped back puts nothing further ahead than it was.
  left = left < 0 and lead or math.min(left, lead)
  local shorter = math.min(length, period)
  local ends = left - length + shorter
  if (ends < 1 and shorter < length) or math.max(count, length, lead) > 2 ^ 53 then
    return 0, period, period, false
  end
  return count, ends, shorter, left >= length
end

-- Stores a window; while it runs its end stays where it is.
local function write_window(window, count, ends, left, ahead, length)
  local state = string.format(ahead and '%.0f %.0f %.0f' or '%.0f', count, length, ends)
  if ends == left and not ahead then
    redis.call('SET', window, state, 'KEEPTTL')
  else
    redis.call('SET', window, state, 'PX', string.format('%.0f', ends))
  end
  return state
end

-- Microseconds until so many ms have passed: a key lives to the end of its last millisecond.
local function until_over(ends)
  return (ends + 1) * 1000 - server_us() % 1000
end
