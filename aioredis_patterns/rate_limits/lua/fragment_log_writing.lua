-- Logs that are written; what they are is said where they are read.

local function summary(total, pending, noted)
  return string.format(pending and '-%.0f %.0f' or '%.0f', total, noted)
end

local function expire_log(log, reset)
  redis.call('PEXPIRE', log, string.format('%.0f', math.floor(reset / 1000) + 2))
end

-- Adds a hit, and drops those that have passed.
local function append(log, size, passed, time, cost, sum)
  if passed == size then
    redis.call('DEL', log)
  elseif passed > 0 then
    redis.call('LTRIM', log, passed, -1)
  end
  local entry = string.format('%016.0f%.0f', time, cost)
  if passed < size then
    redis.call('RPOP', log)
  end
  redis.call('RPUSH', log, entry, sum)
  return entry
end

-- Takes so much from the hits, from that one on, and says which is the first that is left; those before are to go.
local function take_oldest(log, first, size, weight)
  while weight > 0 and first < size do
    local time, cost = parse(redis.call('LINDEX', log, first))
    if cost > weight then
      redis.call('LSET', log, first, string.format('%016.0f%.0f', time, cost - weight))
      return first
    end
    first, weight = first + 1, weight - cost
  end
  return first
end

