-- Puts one score on the boards of several periods at once, or on none.
-- KEYS
--   1 board   zset, of the first period
--   2 places  hash, the place of each member among equals
--   3 levels  zset, the distinct scores
--   4 counts  hash, how many members have each
--   5 notes   hash, the metadata of members
--   6.. key   the same five of each further period
-- ARGV
--   1 order   desc or asc
--   2 ties    first or shared
--   3 mode    ordinal, competition or dense
--   4 most    members that are kept; 0 for all
--   5 verb    set, increment or submit
--   6 member  text
--   7 amount  score
--   8 note    bytes, empty to leave what there is
--   9 start   us, since when all these periods are the present ones; 0 for an event of another time
--   10 stop   us, until when
--   11.. end  ms since 1970, when the board of each period expires; 0 for never
-- Returns
--   1 done   1 or 0; -1 where a sum would be no number; -2 where the periods are not the present ones
--   2 score  text, of the first period; empty where the sum would be no number; the time (us) where the periods moved
local board, places, levels, counts, notes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local order, ties, mode, most, verb = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local member, amount, note = ARGV[6], tonumber(ARGV[7]), ARGV[8]
local start, stop = tonumber(ARGV[9]), tonumber(ARGV[10])

local now = server_us()
if start > 0 and (now < start or now >= stop) then return { -2, now } end
for at = 1, verb == 'increment' and #KEYS or 0, 5 do
  local _, old = find(KEYS[at], KEYS[at + 1], ties, member)
  if beyond(tonumber(old or '0'), amount) then return { -1, '' } end
end
local first = { put(board, places, levels, counts, notes, order, ties, mode, most, verb, member, amount, note) }
for at = 6, #KEYS, 5 do
  put(KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 3], KEYS[at + 4],
    order, ties, mode, most, verb, member, amount, note)
end
for at = 1, #KEYS do
  local ends = tonumber(ARGV[11 + math.floor((at - 1) / 5)])
  if ends > 0 and redis.call('PTTL', KEYS[at]) == -1 then redis.call('PEXPIREAT', KEYS[at], ends) end
end
return first
