-- Token buckets: the string 'level stamp gain unit', the shares held at a time (us) and the rate they grew at.
-- A token is `unit` shares and a microsecond adds `gain` of them, so that every level is a whole number. A level below
-- zero is what reservations have taken in advance. No string is a full bucket.

-- The shares held now, the time they are counted for, and the shares that a microsecond adds until the next write.
local function read_bucket(stored, now, gain, unit, full)
  local level, stamp, old_gain, old_unit = string.match(stored or '', '^(-?%d+) (%d+) ([1-9]%d*) ([1-9]%d*)$')
  level, stamp, old_gain, old_unit = tonumber(level), tonumber(stamp), tonumber(old_gain), tonumber(old_unit)
  if not level or -level > 2 ^ 53 then
    return full, now, gain
  end
  level = level + math.max(now - stamp, 0) * old_gain
  if old_gain ~= gain or old_unit ~= unit then
    -- What was earned before the limit changed was earned at the old rate.
    local tokens = math.floor(level / old_unit)
    level = tokens * unit + math.floor((level - tokens * old_unit) * unit / old_unit)
    gain = old_gain * unit / old_unit
  end
  -- A clock that stepped back earns nothing until it is where it was, or a whole refill has passed.
  stamp = math.min(math.max(stamp, now), now + math.ceil(full / gain))
  return math.min(level, full), stamp, gain
end

-- Microseconds until the bucket has gained so many shares.
local function filling(shares, stamp, now, gain)
  return shares > 0 and stamp - now + math.ceil(shares / gain) or 0
end

-- Stores a bucket until it is full; then its absence says the same.
local function write_bucket(bucket, level, stamp, gain, unit, reset)
  local state = string.format('%.0f %.0f %.0f %.0f', level, stamp, gain, unit)
  redis.call('SET', bucket, state, 'PX', string.format('%.0f', math.floor(reset / 1000) + 2))
  return state
end

-- Leaves a bucket that nothing is taken from as it is, unless its rate or its time to live is another's.
local function keep_bucket(bucket, level, stamp, gain, unit, reset, speed)
  local left = redis.call('PTTL', bucket)
  if left == -1 or speed ~= gain or math.abs(left - reset / 1000) > 5 then
    write_bucket(bucket, level, stamp, gain, unit, reset)
  end
end
