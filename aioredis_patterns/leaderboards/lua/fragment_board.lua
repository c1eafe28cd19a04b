-- Boards: a ZSet of members, the best at one end.
-- Where ties go to who came first, an element is the member behind its place: 12 hexadecimal digits that sort the first
-- of equals ahead. Dense ranks need a ZSet of the distinct scores, and a Hash of how many members have each.

-- What a member would be in the ZSet; nothing where it is certain that it is not there.
local function element_of(places, ties, member)
  if ties == 'shared' then return member end
  local place = redis.call('HGET', places, member)
  return place and place .. member
end

-- What a member is in the ZSet, and its score as text; nothing where it is not there.
local function find(board, places, ties, member)
  local element = element_of(places, ties, member)
  local score = element and redis.call('ZSCORE', board, element)
  return score and element, score
end

local function member_of(element, ties)
  return ties == 'shared' and element or string.sub(element, 13)
end

-- The bounds of the scores that are better than one.
local function above(score, order)
  if order == 'desc' then return '(' .. score, '+inf' end
  return '-inf', '(' .. score
end

-- How many elements stand before one.
local function index_of(board, order, element)
  if order == 'desc' then return redis.call('ZREVRANK', board, element) end
  return redis.call('ZRANK', board, element)
end

-- Elements and scores, the best first.
local function slice(board, order, from, to)
  if order == 'desc' then return redis.call('ZREVRANGE', board, from, to, 'WITHSCORES') end
  return redis.call('ZRANGE', board, from, to, 'WITHSCORES')
end

-- The rank of an element, from 1.
local function rank_of(board, levels, order, mode, element, score)
  if mode == 'ordinal' then return index_of(board, order, element) + 1 end
  local from, to = above(score, order)
  if mode == 'dense' then return redis.call('ZCOUNT', levels, from, to) + 1 end
  return redis.call('ZCOUNT', board, from, to) + 1
end

-- So many rows from an offset: it, the rank of the first row, then three texts a row.
local function rows(board, levels, notes, order, ties, mode, noted, offset, count)
  local found = { offset, 0 }
  local page = count > 0 and slice(board, order, offset, offset + count - 1) or {}
  if #page > 0 then
    found[2] = mode == 'ordinal' and offset + 1 or rank_of(board, levels, order, mode, page[1], page[2])
  end
  for at = 1, #page, 2 do
    local member = member_of(page[at], ties)
    found[#found + 1], found[#found + 2] = member, page[at + 1]
    found[#found + 1] = noted == '1' and redis.call('HGET', notes, member) or ''
  end
  return found
end
