-- Counts a hit in the first window that has room for it, where none after it has reservations.
-- KEYS
--   1 window  string
-- ARGV
--   1 limit   units
--   2 period  ms
--   3 most    ms until the end of the last window that may have reservations
--   4 cost    units
--   5 patience  us that the caller waits at most; -1 for ever
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 wait       us until that window begins; -1 never
--   4 reset      us until nothing is used
--   5 mine       string, the state that this leaves; empty when refused
--   6 due        us, when that expires
--   7 before     string, the state that it found; empty when there was none
--   8 earlier    ms that it expired earlier
local window = KEYS[1]
local limit, period, most, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local patience = tonumber(ARGV[5])

local now, left, before = server_us(), redis.call('PTTL', window), redis.call('GET', window)
local count, ends, length, ahead = read_window(before, left, period)
local room, opened = ahead and 0 or math.max(limit - count, 0), 0
if cost > limit - count then
  count, ends, opened, length, ahead = 0, ends + period, period, period, true
end
local wait = ahead and until_over(ends - length) or 0
if cost > limit or ends > most or (patience >= 0 and wait > patience) then
  return { 0, room, cost > limit and -1 or wait, left == -2 and 0 or until_over(ends - opened), '', 0, '', 0 }
end

local mine = write_window(window, count + cost, ends, left, ahead, length)
return { 1, wait > 0 and 0 or room - cost, wait, until_over(ends), mine, now + ends * 1000, before or '', ends - left }
