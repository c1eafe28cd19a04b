-- Counts who was active on any or on all of some days, without a key left behind.
-- KEYS
--   1 scratch  string, which is gone when the script ends
--   2 bits     string, the bitmap of a day
--   3.. other  string, that of each further day
-- ARGV
--   1 start  us, since when the last of these days is the present one; 0 for days that were named
--   2 stop   us, until when
--   3 how    OR for any, AND for all
-- Returns
--   1 count  members; -2 where the day is not the present one
--   2 now    server's time (us)
local scratch, bits = KEYS[1], KEYS[2]
local start, stop, how = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if start > 0 and (now < start or now >= stop) then return { -2, now } end
if #KEYS == 2 then return { redis.call('BITCOUNT', bits), now } end
local function merge(operation) redis.call('BITOP', operation, scratch, unpack(KEYS, 2)) end
merge(how)
local count = redis.call('BITCOUNT', scratch)
redis.call('DEL', scratch)
return { count, now }
