-- Moves the time when all is made good again, for a caller who waits until it is near enough.
-- KEYS
--   1 debt  string
-- ARGV
--   1 gain      shares per us
--   2 unit      shares per unit of cost
--   3 capacity  units
--   4 backlog   units that may be reserved in advance
--   5 cost      units
--   6 patience  us that the caller waits at most; -1 for ever
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 wait       us until the caller's turn; -1 never
--   4 reset      us until nothing is used
--   5 mine       string, the state that this leaves; empty when refused
--   6 before     string, the state that it found; empty when there was none
local debt = KEYS[1]
local gain, unit, capacity = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local backlog, cost, patience = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local now, full, before = server_us(), capacity * unit, redis.call('GET', debt) or ''
local used, speed = read_debt(before, now, gain, unit, full + backlog * unit)
local left = full - used - cost * unit
local wait = math.max(math.ceil(-left / gain), 0)
if cost > capacity or left < -backlog * unit or (patience >= 0 and wait > patience) then
  keep_debt(debt, used, now, gain, unit, full, speed)
  local remaining = math.max(math.floor((full - used) / unit), 0)
  return { 0, remaining, cost > capacity and -1 or wait, math.ceil(used / gain), '', '' }
end

local mine = write_debt(debt, full - left, now, gain, unit, full)
return { 1, math.max(math.floor(left / unit), 0), wait, math.ceil((full - left) / gain), mine, before }
