-- Counts a hit at the first time when there is room for it, and no earlier than the reservations before.
-- KEYS
--   1 windows  string
-- ARGV
--   1 limit   units
--   2 period  us
--   3 most    us that a reservation may be ahead
--   4 cost    units
--   5 patience  us that the caller waits at most; -1 for ever
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 wait       us until that time; -1 never
--   4 reset      us until nothing is used
--   5 mine       string, the state that this leaves; empty when refused
--   6 found      string, the state that it found; empty when there was none
local windows = KEYS[1]
local limit, period, most, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local patience = tonumber(ARGV[5])

local now, found = server_us(), redis.call('GET', windows) or ''
local start, before, count, at, due = read_sliding(found, now, period)
local room = due and 0 or math.max(sliding_room(start, before, count, at, limit, period), 0)
if cost > limit then
  return { 0, room, -1, sliding_reset(start, before, count, now, period), '', '' }
end
local turn = at + sliding_wait(start, before, count, at, limit, period, cost)
-- What fits is counted at once, even while a clock that stepped back stands still.
local wait = cost <= room and 0 or turn - now
if wait > most or (patience >= 0 and wait > patience) then
  return { 0, room, wait, sliding_reset(start, before, count, now, period), '', '' }
end

start, before, count = roll(start, before, count, turn, period)
count = count + cost
local reset = sliding_reset(start, before, count, now, period)
local mine = write_sliding(windows, start, before, count, period, wait > 0 and turn or nil, now, reset)
return { 1, wait > 0 and 0 or room - cost, wait, reset, mine, found }
