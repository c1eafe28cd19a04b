-- Count the permits that are free.
--
-- KEYS
--   1 permits  zset: each permit that is held, by the time at which it expires (us)
--   2 size     string: integer, how many permits there are; absent unless it was changed
-- ARGV
--   1 default  how many permits there are, unless the size says otherwise
-- Returns
--   integer: how many are free, less than 0 when more are held than there are now
local permits, size = KEYS[1], KEYS[2]
local default = ARGV[1]

local held = redis.call('ZCOUNT', permits, '(' .. string.format('%.0f', clock()), '+inf')
return tonumber(redis.call('GET', size) or default) - held
