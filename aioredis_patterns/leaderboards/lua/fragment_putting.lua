-- Putting a score on a board, by one of three verbs.

local function exact(number)
  return number % 1 == 0 and math.abs(number) <= 2 ^ 53
end

-- Whether a sum is one that a double does not hold: infinite, or not exact where what it is made of is.
local function beyond(old, amount)
  local sum = old + amount
  return sum - sum ~= 0 or (exact(old) and exact(amount) and (sum - old ~= amount or not exact(sum)))
end

-- Whether it changed anything, and the member's score as text; -1 and nothing where a sum is beyond what a score can be.
local function put(board, places, levels, counts, notes, order, ties, mode, most, verb, member, amount, note)
  local element, old = find(board, places, ties, member)
  local score = amount
  if verb == 'increment' then
    local before = tonumber(old or '0')
    if beyond(before, amount) then return -1, '' end
    score = before + amount
  elseif verb == 'submit' and old then
    local ahead = tonumber(old) - amount
    if ahead == 0 or (ahead > 0) == (order == 'desc') then return 0, old end
  end
  local new = place(board, places, levels, counts, order, ties, mode, member, element, old, score)
  if note ~= '' then redis.call('HSET', notes, member, note) end
  trim(board, places, levels, counts, notes, order, ties, mode, most)
  return 1, new
end
