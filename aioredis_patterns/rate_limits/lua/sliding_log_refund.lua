-- Takes hits back, the oldest first, so that those left are in force for longer rather than shorter.
-- KEYS
--   1 log  list
-- ARGV
--   1 limit   units
--   2 period  us
--   3 most    us that a reservation may be ahead
--   4 cost    units
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 retry      us until a hit of that cost passes; 0 now, -1 never
--   4 reset      us until nothing is used
local log = KEYS[1]
local limit, period, most, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local now = server_us()
local size, total, last, noted, pending = read_log(log, now)
local at = math.max(now, last)
-- With reservations only what has passed now is dropped: the rest is missed if they are given back.
local passed, gone = passed_hits(log, size, pending and now or at, period)
local used = math.max(total - gone - cost, 0)
local first = take_oldest(log, passed, size, cost)
if first >= size then
  redis.call('DEL', log)
  return { cost > limit and 0 or 1, limit, cost > limit and -1 or 0, 0 }
end
redis.call('LTRIM', log, first, -1)
redis.call('LSET', log, -1, summary(used, pending, noted))
local reset = keeping(last, noted, now, period)
expire_log(log, reset)

passed, gone = passed_hits(log, size - first, at, period)
used = used - gone
local room = pending and 0 or math.max(limit - used, 0)
if cost <= room then
  return { 1, room, 0, reset }
end
local turn = math.max(at, freed(log, passed, size - first, used + cost - limit, period)) - now
return { 0, room, cost > limit and -1 or turn, reset }
