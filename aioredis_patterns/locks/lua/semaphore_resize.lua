-- Change how many permits there are, and wake those for whom there are enough now.
--
-- KEYS
--   1 permits  zset: each permit that is held, by the time at which it expires (us)
--   2 line     zset: those who wait, by the time they began (us)
--   3 heard    zset: the same, by the time until which they count as alive (us)
--   4 size     string: integer, how many permits there are
-- ARGV
--   1 most     how many permits there are from now on
--   2 fair     1 when those who wait longer go first, else 0
-- Returns
--   integer: how many permits are held
local permits, line, heard, size = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local most, fair = ARGV[1], ARGV[2]

local now = clock()
redis.call('SET', size, most)
local held = taken(permits, now)
drop_silent(line, heard, now)
call_next(line, permits, most - held, fair)
return held
