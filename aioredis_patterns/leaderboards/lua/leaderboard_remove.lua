-- Takes members off the board, with what was kept of them.
-- KEYS
--   1 board   zset
--   2 places  hash, the place of each member among equals
--   3 levels  zset, the distinct scores
--   4 counts  hash, how many members have each
--   5 notes   hash, the metadata of members
-- ARGV
--   1 order   desc or asc
--   2 ties    first or shared
--   3 mode    ordinal, competition or dense
--   4.. member  text, each
-- Returns
--   integer: how many of them were there
local board, places, levels, counts, notes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local order, ties, mode = ARGV[1], ARGV[2], ARGV[3]

local removed = 0
for at = 4, #ARGV do
  local element, score = find(board, places, ties, ARGV[at])
  if score then
    drop(board, places, levels, counts, notes, ties, mode, element, score)
    removed = removed + 1
  end
end
return removed
