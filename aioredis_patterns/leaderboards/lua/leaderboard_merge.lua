-- Replaces a board by what several others make together.
-- KEYS
--   1 board   zset
--   2 places  hash, the place of each member among equals
--   3 levels  zset, the distinct scores
--   4 counts  hash, how many members have each
--   5 notes   hash, the metadata of members
--   6.. source  zset, each of the others
-- ARGV
--   1 order   desc or asc
--   2 ties    first or shared
--   3 mode    ordinal, competition or dense
--   4 most    members that are kept; 0 for all
--   5 how     sum, min or max
--   6.. weight  of each of the others, then its order and its ties
-- Returns
--   integer: how many members there are now; -1 where a sum would be no number
local board, places, levels, counts, notes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local order, ties, mode, most, how = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]

local sums, line = {}, {}
for at = 6, #KEYS do
  local weight, from, theirs = tonumber(ARGV[3 * at - 12]), ARGV[3 * at - 11], ARGV[3 * at - 10]
  local page = slice(KEYS[at], from, 0, -1)
  for row = 1, #page, 2 do
    local member, score = member_of(page[row], theirs), page[row + 1] * weight + 0 -- which makes 0 of -0
    if not sums[member] then
      line[#line + 1], sums[member] = member, score
    else
      sums[member] = how == 'sum' and sums[member] + score or math[how](sums[member], score)
    end
  end
end
for _, member in ipairs(line) do
  if sums[member] - sums[member] ~= 0 then return -1 end
end
redis.call('DEL', board, places, levels, counts, notes)
for _, member in ipairs(line) do
  place(board, places, levels, counts, order, ties, mode, member, nil, nil, sums[member])
end
for _ = 1, math.ceil(#line / 1000) do
  trim(board, places, levels, counts, notes, order, ties, mode, most)
end
return redis.call('ZCARD', board)
