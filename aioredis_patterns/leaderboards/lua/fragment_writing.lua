-- Writing to boards: every change of a score, with what depends on it.

-- Counts a member in or out of those who have a score, which servers write in more or in fewer digits.
local function level(levels, counts, score, by)
  score = string.format('%.17g', score)
  if redis.call('HINCRBY', counts, score, by) > 0 then
    redis.call('ZADD', levels, score, score)
  else
    redis.call('HDEL', counts, score)
    redis.call('ZREM', levels, score)
  end
end

local function drop(board, places, levels, counts, notes, ties, mode, element, score)
  local member = member_of(element, ties)
  redis.call('ZREM', board, element)
  redis.call('HDEL', places, member)
  redis.call('HDEL', notes, member)
  if mode == 'dense' then level(levels, counts, score, -1) end
end

-- Gives a member a score; of equals the one who had it first stays ahead. The score as text.
local function place(board, places, levels, counts, order, ties, mode, member, element, old, score)
  if old and tonumber(old) == score then return old end
  if ties == 'first' then
    if element then redis.call('ZREM', board, element) end
    local turn = redis.call('HINCRBY', places, '', 1)
    local digits = string.format('%012x', order == 'desc' and 2 ^ 48 - turn or turn)
    redis.call('HSET', places, member, digits)
    element = digits .. member
  end
  redis.call('ZADD', board, score, element or member)
  local new = redis.call('ZSCORE', board, element or member)
  if mode == 'dense' then
    if old then level(levels, counts, old, -1) end
    level(levels, counts, new, 1)
  end
  return new
end

-- Drops the worst of those who are too many, a thousand at a time.
local function trim(board, places, levels, counts, notes, order, ties, mode, most)
  local excess = most > 0 and math.min(redis.call('ZCARD', board) - most, 1000) or 0
  if excess <= 0 then return end
  local worst = slice(board, order, -excess, -1)
  for at = 1, #worst, 2 do
    drop(board, places, levels, counts, notes, ties, mode, worst[at], worst[at + 1])
  end
end
