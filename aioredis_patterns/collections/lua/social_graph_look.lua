-- Reads a part of somebody's neighbours, or those whom two have in common.
-- KEYS
--   1 people  set
--   2.. other  set, for those who are in both
-- ARGV
--   1 cursor  of the part before; 0 to begin
--   2 count   neighbours to read, about
-- Returns
--   1 cursor  of the next part; 0 at the end
--   2 size    how many there are
--   3 found   list of texts
local people = KEYS[1]
local cursor, count = ARGV[1], tonumber(ARGV[2])

if #KEYS > 1 then
  local common = redis.call('SINTER', people, unpack(KEYS, 2))
  return { '0', #common, common }
end
local part = redis.call('SSCAN', people, cursor, 'COUNT', count)
return { part[1], redis.call('SCARD', people), part[2] }
