-- Fixed windows: an integer that expires when its window ends, the units counted in it.
-- Below zero it counts the last of the windows that have reservations, and those before are full. No string is a window
-- that has not begun.

-- The units of that window, the ms until its end, and whether it is still to come.
local function read_window(stored, left, period, most)
  local count = tonumber(stored or '0')
  if not count or count % 1 ~= 0 or math.abs(count) > 2 ^ 53 then
    count = 0
  end
  local ends = left < 0 and period or math.min(left, count < 0 and most or period)
  return math.abs(count), ends, count < 0 and left >= 0 and ends >= period
end

-- Stores a window; while it runs its end stays where it is.
local function write_window(window, count, ends, left, ahead)
  local state = string.format('%.0f', ahead and -count or count)
  if ends == left then
    redis.call('SET', window, state, 'KEEPTTL')
  else
    redis.call('SET', window, state, 'PX', string.format('%.0f', ends))
  end
  return state
end
