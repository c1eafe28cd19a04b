-- Takes back what was used, as far as it is owed still.
-- KEYS
--   1 debt  string
-- ARGV
--   1 gain      shares per us
--   2 unit      shares per unit of cost
--   3 capacity  units
--   4 cost      units
-- Returns
--   1 allowed    1 or 0, whether a hit of that cost would pass now
--   2 remaining  units
--   3 retry      us until it passes; 0 now, -1 never
--   4 reset      us until nothing is used
local debt = KEYS[1]
local gain, unit, capacity, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local now, full = server_us(), capacity * unit
local used = read_debt(redis.call('GET', debt), now, gain, unit, full)
used = math.max(used - cost * unit, 0)
local missing = cost > 0 and used + cost * unit - full or 0
local retry = cost > capacity and -1 or math.max(math.ceil(missing / gain), 0)
if used == 0 then
  redis.call('DEL', debt)
else
  write_debt(debt, used, now, gain, unit, 0)
end
return { missing > 0 and 0 or 1, math.max(math.floor((full - used) / unit), 0), retry, math.ceil(used / gain) }
