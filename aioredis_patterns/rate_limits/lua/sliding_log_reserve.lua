-- Notes a hit at the first time when there is room for it, and no earlier than the reservations before.
-- KEYS
--   1 log  list
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
--   5 mine       string, the entry of this reservation; empty when refused
local log = KEYS[1]
local limit, period, most, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local patience = tonumber(ARGV[5])

local now = server_us()
local size, total, last, noted, pending = read_log(log, now)
local at = math.max(now, last)
local passed, gone = passed_hits(log, size, at, period)
local used = total - gone
local room = pending and 0 or math.max(limit - used, 0)
local turn = math.max(at, freed(log, passed, size, used + cost - limit, period))
local wait = cost <= room and 0 or turn - now
if cost > limit or wait > most or (patience >= 0 and wait > patience) then
  return { 0, room, cost > limit and -1 or wait, keeping(last, noted, now, period), '' }
end

if pending then
  -- Only what has passed now is dropped: the rest would be missing if the reservations were given back.
  passed, gone = passed_hits(log, size, now, period)
end
noted = wait == 0 and turn or pending and math.max(now, noted) or now
local mine = append(log, size, passed, turn, cost, summary(total - gone + cost, wait > 0, noted))
local reset = keeping(turn, noted, now, period)
expire_log(log, reset)
return { 1, wait > 0 and 0 or room - cost, wait, reset, mine }
