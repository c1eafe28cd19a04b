-- Generations: a clock per shard that every invalidation moves, and the stamp of each.
-- An entry or a load that knows the clock's reading when it began knows what was invalidated since.

-- The clock's reading. A shard without a clock starts one, which invalidates whatever it held before.
local function generation_of(generations, keep_ms)
  local clock = redis.call('HGET', generations, 'clock')
  if not clock then
    local time = redis.call('TIME')
    clock = string.format('%016.0f', time[1] * 1000000 + time[2])
    redis.call('HSET', generations, 'clock', clock, 'cleared', clock)
  end
  if redis.call('PTTL', generations) < keep_ms then
    redis.call('PEXPIRE', generations, 2 * keep_ms)
  end
  return clock
end

-- Whether nothing was invalidated since that reading: neither all, nor one of the tags.
local function unchanged(generations, since, tags)
  local marks = redis.call('HMGET', generations, 'clock', 'cleared')
  local generation = tonumber(since)
  if not (marks[2] and generation) or generation > tonumber(marks[1]) or generation < tonumber(marks[2]) then
    return false
  end
  for tag in string.gmatch(tags, '[^|]+') do
    local stamp = redis.call('HGET', generations, 't:' .. tag)
    if stamp and tonumber(stamp) > generation then
      return false
    end
  end
  return true
end
