-- Give back the permits that a token still holds, and wake those who wait for them.
--
-- KEYS
--   1 permits  zset: each permit that is held, by the time at which it expires (us)
--   2 line     zset: those who wait, by the time they began (us)
--   3 heard    zset: the same, by the time until which they count as alive (us)
--   4 size     string: integer, how many permits there are; absent unless it was changed
-- ARGV
--   1 token    of the holder
--   2 default  how many permits there are, unless the size says otherwise
--   3 fair     1 when those who wait longer go first, else 0
--   4 inbox    channel of a client that gives up waiting for them; absent when they are only given back
-- Returns
--   integer: 1 when the token held them, 0 when it did not
local permits, line, heard, size = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, default, fair, inbox = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local now = clock()
local held = taken(permits, now)
local dropped = drop(permits, token)
if inbox then leave(line, heard, width(token) .. ' ' .. inbox) end
drop_silent(line, heard, now)
local most = tonumber(redis.call('GET', size) or default)
call_next(line, permits, most - held + dropped, fair)
return dropped > 0 and 1 or 0
