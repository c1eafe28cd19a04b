-- Reads the rows around a member, always as many, with the member in the middle where there is room.
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
--   5 member  text
--   6 count   rows
-- Returns
--   list: the offset, the rank of the first row, then member, score and metadata of each
local board, places, levels, notes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local order, ties, mode, noted = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local member, count = ARGV[5], tonumber(ARGV[6])

local element = element_of(places, ties, member)
local index = element and index_of(board, order, element)
if not index then return rows(board, levels, notes, order, ties, mode, noted, 0, 0) end
local last = redis.call('ZCARD', board) - count
local offset = math.max(math.min(index - math.floor((count - 1) / 2), last), 0)
return rows(board, levels, notes, order, ties, mode, noted, offset, count)
