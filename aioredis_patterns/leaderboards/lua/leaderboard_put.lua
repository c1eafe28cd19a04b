-- Gives a member a score, adds to it, or keeps the better of two.
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
--   4 most    members that are kept; 0 for all
--   5 verb    set, increment or submit
--   6 member  text
--   7 amount  score
--   8 note    bytes, empty to leave what there is
-- Returns
--   1 done   1 or 0; -1 where the sum would be no number
--   2 score  text, what the member has now; empty where the sum would be no number
local board, places, levels, counts, notes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local order, ties, mode, most, verb = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local member, amount, note = ARGV[6], tonumber(ARGV[7]), ARGV[8]

return { put(board, places, levels, counts, notes, order, ties, mode, most, verb, member, amount, note) }
