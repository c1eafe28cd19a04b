-- Pours into a bucket, if it does not overflow.
-- KEYS
--   1 debt  string
-- ARGV
--   1 gain      shares per us
--   2 unit      shares per unit of cost
--   3 capacity  units
--   4 cost      units
--   5 charged   1 where a denied hit counts too
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 retry      us until the same hit passes; 0 it did, -1 never
--   4 reset      us until nothing is used
local debt = KEYS[1]
local gain, unit, capacity = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local cost, charged = tonumber(ARGV[4]), ARGV[5]

local now, full = server_us(), capacity * unit
local used, speed = read_debt(redis.call('GET', debt), now, gain, unit, full)
local left = full - used - cost * unit
if left < 0 then
  if charged == '1' and used < full then
    used = math.min(used + cost * unit, full)
    write_debt(debt, used, now, gain, unit, 0)
  else
    keep_debt(debt, used, now, gain, unit, 0, speed)
  end
  local remaining, retry = math.max(math.floor((full - used) / unit), 0), math.ceil((used + cost * unit - full) / gain)
  return { 0, remaining, cost > capacity and -1 or retry, math.ceil(used / gain) }
end

write_debt(debt, full - left, now, gain, unit, 0)
return { 1, math.floor(left / unit), 0, math.ceil((full - left) / gain) }
