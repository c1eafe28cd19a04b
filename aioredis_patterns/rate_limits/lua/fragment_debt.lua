-- Debts: the string 'us rest gain unit', the time when all that was used is made good again, and the rate of that.
-- Used are shares: a unit of cost is `unit` of them and a microsecond makes `gain` good, so that the time is whole
-- microseconds and a rest in shares. No string is no debt. More than the capacity is what was reserved in advance.

-- The shares that are owed now, at most so many, and how many a microsecond makes good until the next write.
local function read_debt(stored, now, gain, unit, most)
  local time, rest, old_gain, old_unit = string.match(stored or '', '^(%d+) (%d+) ([1-9]%d*) ([1-9]%d*)$')
  if not time then
    return 0, gain
  end
  time, rest, old_gain, old_unit = tonumber(time), tonumber(rest), tonumber(old_gain), tonumber(old_unit)
  local used = math.max((time - now) * old_gain + rest, 0)
  if old_gain ~= gain or old_unit ~= unit then
    -- What was used before the limit changed weighs the same under the new one.
    local whole = math.floor(used / old_unit)
    used = whole * unit + math.ceil((used - whole * old_unit) * unit / old_unit)
    gain = old_gain * unit / old_unit
  end
  return math.min(used, most), gain
end

-- Stores a debt until it is made good; then its absence says the same.
local function write_debt(debt, used, now, gain, unit)
  local state = string.format('%.0f %.0f %.0f %.0f', now + math.floor(used / gain), used % gain, gain, unit)
  redis.call('SET', debt, state, 'PX', string.format('%.0f', math.floor(used / gain / 1000) + 2))
  return state
end

-- Leaves a debt that nothing is added to as it is, unless its rate or its time to live is another's.
local function keep_debt(debt, used, now, gain, unit, speed)
  local left = redis.call('PTTL', debt)
  if left ~= -2 and (speed ~= gain or math.abs(left - used / gain / 1000) > 5) then
    write_debt(debt, used, now, gain, unit)
  end
end
