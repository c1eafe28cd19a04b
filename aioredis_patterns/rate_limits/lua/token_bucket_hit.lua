-- Takes tokens from a bucket, if it holds as many.
-- KEYS
--   1 bucket  string
-- ARGV
--   1 gain      shares per us
--   2 unit      shares per token
--   3 capacity  tokens
--   4 backlog   tokens that may be reserved in advance
--   5 cost      tokens
--   6 charged   1 where a denied hit counts too
-- Returns
--   1 allowed    1 or 0
--   2 remaining  tokens
--   3 retry      us until the same hit passes; 0 it did, -1 never
--   4 reset      us until the bucket is full
local bucket = KEYS[1]
local gain, unit, capacity = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local backlog, cost, charged = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]

local now, full = server_us(), capacity * unit
local level, stamp, speed = read_bucket(redis.call('GET', bucket), now, gain, unit, full)
local left = level - cost * unit
if left < 0 then
  local counted = charged == '1' and level > 0
  level = counted and 0 or level
  local reset = filling(full - level, stamp, now, gain)
  if counted then
    write_bucket(bucket, level, stamp, gain, unit, reset)
  else
    keep_bucket(bucket, level, stamp, gain, unit, reset, speed)
  end
  local retry = cost > capacity and -1 or filling(cost * unit - level, stamp, now, gain)
  return { 0, math.max(math.floor(level / unit), 0), retry, reset }
end

local reset = filling(full - left, stamp, now, gain)
write_bucket(bucket, left, stamp, gain, unit, reset)
return { 1, math.floor(left / unit), 0, reset }
