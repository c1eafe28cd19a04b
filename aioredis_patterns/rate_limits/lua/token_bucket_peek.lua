-- Says what a hit would be answered, and writes nothing.
-- KEYS
--   1 bucket  string
-- ARGV
--   1 gain      shares per us
--   2 unit      shares per token
--   3 capacity  tokens
--   4 backlog   tokens that may be reserved in advance
--   5 cost      tokens
-- Returns
--   1 allowed    1 or 0
--   2 remaining  tokens
--   3 retry      us until the hit passes; 0 now, -1 never
--   4 reset      us until the bucket is full
local bucket = KEYS[1]
local gain, unit, capacity = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local backlog, cost = tonumber(ARGV[4]), tonumber(ARGV[5])

local now, full = server_us(), capacity * unit
local level, stamp, speed = read_bucket(redis.call('GET', bucket), now, gain, unit, full)
local remaining, reset = math.max(math.floor(level / unit), 0), filling(full - level, stamp, now, speed)
local missing = cost * unit - level
if cost == 0 or missing <= 0 then
  return { 1, remaining, 0, reset }
end
return { 0, remaining, cost > capacity and -1 or filling(missing, stamp, now, speed), reset }
