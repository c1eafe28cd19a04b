-- Tells whether a member was active on a day.
-- KEYS
--   1 bits  string, the bitmap of the day
--   2 ids   hash, the bit of each member
-- ARGV
--   1 start   us, since when the day is the present one; 0 for a day that was named
--   2 stop    us, until when
--   3 direct  1 where a member is its own bit
--   4 member  text
-- Returns
--   1 active  1 or 0; -2 where the day is not the present one
--   2 now     server's time (us)
local bits, ids = KEYS[1], KEYS[2]
local start, stop, direct, member = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if start > 0 and (now < start or now >= stop) then return { -2, now } end
local bit = direct == '1' and member or redis.call('HGET', ids, member)
return { bit and redis.call('GETBIT', bits, bit) or 0, now }
