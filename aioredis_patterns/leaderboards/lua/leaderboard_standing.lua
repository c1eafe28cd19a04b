-- Tells how many members are worse than a score, or which score a member at an offset has.
-- KEYS
--   1 board   zset
--   2 places  hash, the place of each member among equals
-- ARGV
--   1 order   desc or asc
--   2 ties    first or shared
--   3 member  text, empty to ask for a score
--   4 share   percent of the members, as a number
-- Returns
--   1 size   members
--   2 worse  members with a worse score; -1 where the member is not there
--   3 score  text, of the member, or of the one whom that share of the members does not exceed
local board, places = KEYS[1], KEYS[2]
local order, ties, member, share = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local size = redis.call('ZCARD', board)
if member == '' then
  local below = math.max(math.ceil(share * size / 100), 1)
  local row = slice(board, order, -below, -below)
  return { size, -1, row[2] or '' }
end
local _, score = find(board, places, ties, member)
if not score then return { size, -1, '' } end
local from, to = above(score, order == 'desc' and 'asc' or 'desc')
return { size, redis.call('ZCOUNT', board, from, to), score }
