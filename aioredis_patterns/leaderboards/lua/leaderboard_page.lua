-- Reads rows, the best first.
-- KEYS
--   1 board   zset
--   2 levels  zset, the distinct scores
--   3 notes   hash, the metadata of members
-- ARGV
--   1 order   desc or asc
--   2 ties    first or shared
--   3 mode    ordinal, competition or dense
--   4 noted   1 to read metadata
--   5 offset  rows
--   6 count   rows
-- Returns
--   list: the offset, the rank of the first row, then member, score and metadata of each
local board, levels, notes = KEYS[1], KEYS[2], KEYS[3]
local order, ties, mode, noted = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local offset, count = tonumber(ARGV[5]), tonumber(ARGV[6])

return rows(board, levels, notes, order, ties, mode, noted, offset, count)
