-- Fixed windows: an integer that expires when its window ends, the units counted in it.
-- Below zero it counts the last of the windows that have reservations, and those before are full. No string is a window
-- that has not begun.

-- The units of that window and the ms until its end, which is further than a period when it is one to come.
local function read_window(stored, left, period, most)
  local count = tonumber(stored or '0')
  if not count or count % 1 ~= 0 or math.abs(count) > 2 ^ 53 then
    count = 0
  end
  local longest = count < 0 and most or period
  return math.abs(count), left < 0 and period or math.min(left, longest)
end

-- Stores a window; while it runs its end stays where it is.
local function write_window(window, count, ends, left, period)
  local state = string.format('%.0f', ends > period and -count or count)
  if ends == left then
    redis.call('SET', window, state, 'KEEPTTL')
  else
    redis.call('SET', window, state, 'PX', string.format('%.0f', ends))
  end
  return state
end
