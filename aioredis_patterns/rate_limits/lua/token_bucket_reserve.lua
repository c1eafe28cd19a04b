-- Takes tokens from a bucket, in advance if need be: callers get theirs in the order of their calls.
-- KEYS
--   1 bucket  string
-- ARGV
--   1 gain      shares per us
--   2 unit      shares per token
--   3 capacity  tokens
--   4 backlog   tokens that may be reserved in advance
--   5 cost      tokens
--   6 patience  us that the caller waits at most; -1 for ever
-- Returns
--   1 allowed    1 or 0
--   2 remaining  tokens
--   3 wait       us until the tokens are there; -1 never
--   4 reset      us until the bucket is full
--   5 mine       string, the state that this leaves; empty when refused
--   6 before     string, the state that it found; empty when there was none
local bucket = KEYS[1]
local gain, unit, capacity = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local backlog, cost, patience = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local now, full, before = server_us(), capacity * unit, redis.call('GET', bucket) or ''
local level, stamp, speed = read_bucket(before, now, gain, unit, full)
local left = level - cost * unit
local wait = filling(-left, stamp, now, gain)
if cost > capacity or left < -backlog * unit or (patience >= 0 and wait > patience) then
  local reset = filling(full - level, stamp, now, gain)
  keep_bucket(bucket, level, stamp, gain, unit, reset, speed)
  return { 0, math.max(math.floor(level / unit), 0), cost > capacity and -1 or wait, reset, '', '' }
end

local reset = filling(full - left, stamp, now, gain)
local mine = write_bucket(bucket, left, stamp, gain, unit, reset)
return { 1, math.max(math.floor(left / unit), 0), wait, reset, mine, before }
