-- Takes tokens from a bucket, in advance if need be: in the order of the calls, each at a time of its own.
-- KEYS
--   1 bucket  string
-- ARGV
--   1 gain      shares per us
--   2 unit      shares per token
--   3 capacity  tokens
--   4 cost      tokens
--   5 backlog   tokens that may be taken in advance
--   6 patience  us that the caller waits at most; -1 for ever
-- Returns
--   1 allowed    1 or 0
--   2 remaining  tokens
--   3 wait       us until the tokens are there; -1 never
--   4 reset      us until the bucket is full
--   5 due        us, server time when they are there, rounded down; with the next it names this reservation
--   6 rest       shares missing at that time
local bucket = KEYS[1]
local gain, unit, capacity, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local backlog, patience = tonumber(ARGV[5]), tonumber(ARGV[6])

local now, full = server_us(), capacity * unit
local level, stamp, speed = read_bucket(redis.call('GET', bucket), now, gain, unit, full)
local left = level - cost * unit
local wait = left < 0 and filling(-left, stamp, now, gain) or 0
local refused = cost > capacity or left < -backlog * unit
if refused or (patience >= 0 and wait > patience) then
  local reset = filling(full - level, stamp, now, gain)
  keep_bucket(bucket, level, stamp, gain, unit, reset, speed)
  return { 0, math.max(math.floor(level / unit), 0), cost > capacity and -1 or wait, reset, 0, 0 }
end

local reset = filling(full - left, stamp, now, gain)
write_bucket(bucket, left, stamp, gain, unit, reset)
local debt = math.max(-left, 0)
return { 1, math.max(math.floor(left / unit), 0), wait, reset, stamp + math.floor(debt / gain), debt % gain }
