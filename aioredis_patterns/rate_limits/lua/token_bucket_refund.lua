-- Puts tokens back into a bucket that is not full.
-- KEYS
--   1 bucket  string
-- ARGV
--   1 gain      shares per us
--   2 unit      shares per token
--   3 capacity  tokens
--   4 backlog   tokens that may be reserved in advance
--   5 cost      tokens
-- Returns
--   1 allowed    1 or 0, whether a hit of that cost would pass now
--   2 remaining  tokens
--   3 retry      us until it passes; 0 now, -1 never
--   4 reset      us until the bucket is full
local bucket = KEYS[1]
local gain, unit, capacity = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local backlog, cost = tonumber(ARGV[4]), tonumber(ARGV[5])

local now, full = server_us(), capacity * unit
local level, stamp = read_bucket(redis.call('GET', bucket), now, gain, unit, full)
level = math.min(level + cost * unit, full)
local missing, reset = cost > 0 and cost * unit - level or 0, filling(full - level, stamp, now, gain)
local retry = cost > capacity and -1 or filling(missing, stamp, now, gain)
if level == full then
  redis.call('DEL', bucket)
else
  write_bucket(bucket, level, stamp, gain, unit, reset)
end
return { missing > 0 and 0 or 1, math.max(math.floor(level / unit), 0), retry, reset }
