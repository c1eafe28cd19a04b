-- Pours into a bucket that does not overflow, for a caller who waits until all that was in it has leaked out.
-- KEYS
--   1 debt  string
-- ARGV
--   1 gain      shares per us
--   2 unit      shares per unit of cost
--   3 capacity  units
--   4 cost      units
--   5 patience  us that the caller waits at most; -1 for ever
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 wait       us until the caller's turn, or until there is room; -1 never
--   4 reset      us until nothing is used
--   5 mine       string, the state that this leaves; empty when refused
--   6 before     string, the state that it found; empty when there was none
local debt = KEYS[1]
local gain, unit, capacity = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local cost, patience = tonumber(ARGV[4]), tonumber(ARGV[5])

local now, full, before = server_us(), capacity * unit, redis.call('GET', debt) or ''
local used, speed = read_debt(before, now, gain, unit, full)
local left, wait = full - used - cost * unit, math.ceil(used / gain)
if left < 0 or (patience >= 0 and wait > patience) then
  keep_debt(debt, used, now, gain, unit, 0, speed)
  local remaining, retry = math.max(math.floor((full - used) / unit), 0), left < 0 and math.ceil(-left / gain) or wait
  return { 0, remaining, cost > capacity and -1 or retry, wait, '', '' }
end

local mine = write_debt(debt, full - left, now, gain, unit, 0)
return { 1, math.floor(left / unit), wait, math.ceil((full - left) / gain), mine, before }
