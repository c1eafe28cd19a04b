-- Gives a reservation back that is not due yet and that no other was made after.
-- KEYS
--   1 bucket  string
-- ARGV
--   1 gain      shares per us
--   2 unit      shares per token
--   3 capacity  tokens
--   4 cost      tokens
--   5 due       us, server time when the tokens are there, rounded down
--   6 rest      shares missing at that time
-- Returns
--   integer  1 given back, 0 not
local bucket = KEYS[1]
local gain, unit, capacity, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local due, rest = tonumber(ARGV[5]), tonumber(ARGV[6])

local now, full = server_us(), capacity * unit
local level, stamp = read_bucket(redis.call('GET', bucket), now, gain, unit, full)
local debt = -level
if debt <= 0 or stamp + math.floor(debt / gain) ~= due or debt % gain ~= rest then
  return 0
end
level = math.min(level + cost * unit, full)
write_bucket(bucket, level, stamp, gain, unit, filling(full - level, stamp, now, gain))
return 1
