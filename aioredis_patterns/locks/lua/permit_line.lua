-- Shared: the line of those who wait for permits, each an inbox with how many it wants, by the time it began (us).

local function leave(line, heard, place)
  redis.call('ZREM', line, place)
  redis.call('ZREM', heard, place)
end

-- Those who have not been heard of in time are dropped from the line.
local function drop_silent(line, heard, now)
  local silent = redis.call('ZRANGEBYSCORE', heard, '-inf', string.format('%.0f', now), 'LIMIT', 0, 100)
  for _, place in ipairs(silent) do
    leave(line, heard, place)
  end
end

-- Stand in the line, and be heard of.
local function stand(line, heard, place, since, now)
  redis.call('ZADD', line, string.format('%.0f', since), place)
  redis.call('ZADD', heard, string.format('%.0f', now + 2500000), place)
  redis.call('PEXPIRE', line, 5000)
  redis.call('PEXPIRE', heard, 5000)
end

-- How many of the free permits are left for one who began to wait at a time, when those before it go first.
local function left_for(line, since, free)
  local before = '(' .. string.format('%.0f', since)
  for _, place in ipairs(redis.call('ZRANGEBYSCORE', line, '-inf', before, 'LIMIT', 0, math.max(free, 0))) do
    free = free - tonumber(string.match(place, '^%d+'))
  end
  return free
end

-- Wake those for whom there are free permits, in their order; in a fair line nobody is called before the first is.
local function call_next(line, permits, free, fair)
  if free <= 0 then return end
  for _, place in ipairs(redis.call('ZRANGE', line, 0, 99)) do
    local wanted, inbox = string.match(place, '^(%d+) (.*)$')
    if tonumber(wanted) <= free then
      free = free - tonumber(wanted)
      redis.pcall('PUBLISH', inbox, permits)
      if free == 0 then return end
    elseif fair == '1' then
      return
    end
  end
end
