-- Debts: the string 'us rest gain unit', the time when all that was used is made good again, and the rate of that.
-- Used are shares: a unit of cost is `unit` of them and a microsecond makes `gain` good, so that the time is whole
-- microseconds and a rest in shares. The numbers are hexadecimal, to be short. No string is no debt. Where reservations
-- owe more than a smaller limit would allow, ' owed' follows, the shares owed in all.

-- The shares that are owed now, at most so many, and how many a microsecond makes good until the next write.
local function read_debt(stored, now, gain, unit, most)
  local form = '^(%x+) (%x+) ([1-9a-f]%x*) ([1-9a-f]%x*) ?(%x*)$'
  local time, rest, old_gain, old_unit, owed = string.match(stored or '', form)
  if not time then
    return 0, gain
  end
  time, rest, owed = tonumber(time, 16), tonumber(rest, 16), tonumber(owed, 16) or 0
  old_gain, old_unit = tonumber(old_gain, 16), tonumber(old_unit, 16)
  local used = math.max((time - now) * old_gain + rest, 0)
  if old_gain ~= gain or old_unit ~= unit then
    -- What was used before the limit changed weighs the same under the new one.
    local whole = math.floor(used / old_unit)
    used = whole * unit + math.ceil((used - whole * old_unit) * unit / old_unit)
    owed = math.ceil(owed / old_unit) * unit
    gain = old_gain * unit / old_unit
  end
  -- A clock that stepped back owes no more than may be owed, or than was, where that is known.
  return math.min(used, math.max(most, owed), 2 ^ 53), gain
end

-- Stores a debt until it is made good; then its absence says the same.
local function write_debt(debt, used, now, gain, unit, sure)
  local state = string.format('%x %x %x %x', now + math.floor(used / gain), used % gain, gain, unit)
  if used > sure then
    state = string.format('%s %x', state, used)
  end
  redis.call('SET', debt, state, 'PX', string.format('%.0f', math.floor(used / gain / 1000) + 2))
  return state
end

-- Leaves a debt that nothing is added to as it is, unless its rate or its time to live is another's.
local function keep_debt(debt, used, now, gain, unit, sure, speed)
  local left = redis.call('PTTL', debt)
  if left == -1 or speed ~= gain or math.abs(left - used / gain / 1000) > 5 then
    write_debt(debt, used, now, gain, unit, sure)
  end
end
