-- Count a latch down for a party that has not done so yet, and wake everybody when it opens.
--
-- KEYS
--   1 latch  set: the parties that have counted it down; its name is also the channel of those who wait
-- ARGV
--   1 party  text
--   2 count  how many parties open it
--   3 ttl    ms
-- Returns
--   integer: how many are missing
local latch = KEYS[1]
local party, count, ttl = ARGV[1], ARGV[2], ARGV[3]

local missing = count - redis.call('SCARD', latch)
if missing <= 0 then return 0 end

missing = missing - redis.call('SADD', latch, party)
redis.call('PEXPIRE', latch, ttl)
if missing == 0 then redis.pcall('PUBLISH', latch, 'open') end
return missing
