-- Says what a hit would be answered, and writes nothing.
-- KEYS
--   1 debt  string
-- ARGV
--   1 gain      shares per us
--   2 unit      shares per unit of cost
--   3 capacity  units
--   4 cost      units
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 retry      us until the hit passes; 0 now, -1 never
--   4 reset      us until nothing is used
local debt = KEYS[1]
local gain, unit, capacity, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local now, full = server_us(), capacity * unit
local used, speed = read_debt(redis.call('GET', debt), now, gain, unit, full)
local remaining, reset = math.max(math.floor((full - used) / unit), 0), math.ceil(used / speed)
local missing = used + cost * unit - full
if cost == 0 or missing <= 0 then
  return { 1, remaining, 0, reset }
end
return { 0, remaining, cost > capacity and -1 or math.ceil(missing / speed), reset }
