-- Reads lists of items from a place on.

-- Lua compares texts as the server's locale has it, sorted sets compare bytes.
local function below(one, other)
  for at = 1, #one do
    local mine, its = string.byte(one, at), string.byte(other, at)
    if mine ~= its then return its ~= nil and mine < its end
  end
  return #one < #other
end

-- How many of the items of one time stand at a member, or before it.
local function passed(list, time, member)
  local low, high = 0, redis.call('ZCOUNT', list, time, time)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local one = redis.call('ZREVRANGEBYSCORE', list, time, time, 'LIMIT', middle, 1)[1]
    if below(one, member) then high = middle else low = middle + 1 end
  end
  return low
end

local function older(list, items, time, member, count)
  local skipped = time ~= '+inf' and passed(list, time, member) or 0
  local found, keys = {}, {}
  local members = redis.call('ZREVRANGEBYSCORE', list, time, '-inf', 'LIMIT', skipped, count)
  if #members == 0 then return found end
  for at, one in ipairs(members) do keys[at] = string.sub(one, 14) end
  for at, value in ipairs(redis.call('HMGET', items, unpack(keys))) do
    if value then
      found[#found + 1] = members[at]
      found[#found + 1] = value
    end
  end
  return found
end
