-- Tells the ranks and scores of members.
-- KEYS
--   1 board   zset
--   2 places  hash, the place of each member among equals
--   3 levels  zset, the distinct scores
--   4 notes   hash, the metadata of members
-- ARGV
--   1 order   desc or asc
--   2 ties    first or shared
--   3 mode    ordinal, competition or dense
--   4 noted   1 to read metadata
--   5.. member  text, each
-- Returns
--   for each member: its rank, 0 where it is not on the board, its score as text, and its metadata
local board, places, levels, notes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local order, ties, mode, noted = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local found = {}
for at = 5, #ARGV do
  local element, score = find(board, places, ties, ARGV[at])
  found[#found + 1] = score and rank_of(board, levels, order, mode, element, score) or 0
  found[#found + 1] = score or ''
  found[#found + 1] = noted == '1' and redis.call('HGET', notes, ARGV[at]) or ''
end
return found
