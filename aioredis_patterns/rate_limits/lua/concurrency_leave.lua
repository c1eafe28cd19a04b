-- Gives a slot back, or a place in the line, and wakes who is next.
-- KEYS
--   1 slots  zset, those held by the end of their leases (us)
--   2 line   zset, those who wait by the time they joined (us)
--   3 heard  zset, the same by the time until which they count as alive (us)
-- ARGV
--   1 limit  slots
--   2 token  of the caller
--   3 inbox  channel of the caller's client
-- Returns
--   1 held  1 it had the slot, 0 it did not
local slots, line, heard = KEYS[1], KEYS[2], KEYS[3]
local limit, token, inbox = tonumber(ARGV[1]), ARGV[2], ARGV[3]

local now = server_us()
local ends = redis.call('ZSCORE', slots, token)
redis.call('ZREM', slots, token)
leave_line(line, heard, token .. ' ' .. inbox)
drop_silent(line, heard, now)
call_first(line, free_slots(slots, limit, now))
return ends and tonumber(ends) > now and 1 or 0
