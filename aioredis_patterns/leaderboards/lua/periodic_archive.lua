-- Keeps the best of a board whose period has ended, unless they are kept already.
-- KEYS
--   1 board   zset
--   2 places  hash, the place of each member among equals
--   3 notes   hash, the metadata of members
--   4 final   zset
--   5 stands  hash
--   6 steps   zset
--   7 words   hash
-- ARGV
--   1 order  desc or asc
--   2 ties   first or shared
--   3 stop   us, the end of the period
--   4 count  members that are kept
--   5 ttl    ms that they are kept
-- Returns
--   integer: how many are kept; -1 while the period goes on
local board, places, notes = KEYS[1], KEYS[2], KEYS[3]
local final, stands, steps, words = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local order, ties, stop, count, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

if server_us() < stop then return -1 end
local kept = redis.call('ZCARD', final)
if kept > 0 then return kept end

local page = slice(board, order, 0, count - 1)
for at = 1, #page, 2 do
  local element, score = page[at], page[at + 1]
  local member = member_of(element, ties)
  local note = redis.call('HGET', notes, member)
  redis.call('ZADD', final, score, element)
  redis.call('ZADD', steps, score, score)
  if ties == 'first' then redis.call('HSET', stands, member, redis.call('HGET', places, member)) end
  if note then redis.call('HSET', words, member, note) end
end
redis.call('PEXPIRE', final, ttl)
redis.call('PEXPIRE', stands, ttl)
redis.call('PEXPIRE', steps, ttl)
redis.call('PEXPIRE', words, ttl)
return #page / 2
