-- Says how many slots are free, and writes nothing.
-- KEYS
--   1 slots  zset, those held by the end of their leases (us)
--   2 heard  zset, those who wait by the time until which they count as alive (us)
-- ARGV
--   1 limit  slots
-- Returns
--   1 allowed    1 or 0
--   2 remaining  slots
--   3 retry      us until a slot is free, or a waiter falls silent, unless leases are renewed; 0 now
--   4 reset      us until all slots are free, unless leases are renewed
local slots, heard = KEYS[1], KEYS[2]
local limit = tonumber(ARGV[1])

local now = server_us()
local from = '(' .. string.format('%.0f', now)
local held, waiting = redis.call('ZCOUNT', slots, from, '+inf'), redis.call('ZCOUNT', heard, from, '+inf')
local room, reset = math.max(limit - held - waiting, 0), until_end(slots, math.huge, now)
if room > 0 then
  return { 1, room, 0, reset }
end
local passed = redis.call('ZCARD', slots) - held
return { 0, 0, until_turn(slots, heard, passed + math.max(held + waiting - limit, 0), now), reset }
