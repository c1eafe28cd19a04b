-- Takes what is due to be written, for as long as a lease; what the dead had taken is due again.
-- KEYS
--   1 dirty   hash
--   2 due     zset
--   3 leased  zset
-- ARGV
--   1 count      of records at most
--   2 lease_ms   ms
--   3 ahead_ms   ms  that a record may be taken before it is due; below 0 that it must have been due
-- Returns
--   integer  us until which they are leased
--   integer  ms until there is more to do, or -1
--   string.. the key and its record, in turn
local dirty, due, leased = KEYS[1], KEYS[2], KEYS[3]
local count, lease_ms, ahead_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local now_us = server_us()
for _, part in ipairs(redis.call('ZRANGEBYSCORE', leased, '-inf', now_us)) do
  redis.call('ZREM', leased, part)
  redis.call('ZADD', due, 0, part)
end
local until_us = now_us + lease_ms * 1000
local answer = { until_us, -1 }
for _, part in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now_us + ahead_ms * 1000, 'LIMIT', 0, count)) do
  local record = redis.call('HGET', dirty, part)
  redis.call('ZREM', due, part)
  if record then
    redis.call('ZADD', leased, until_us, part)
    answer[#answer + 1] = part
    answer[#answer + 1] = record
  end
end

local function first_of(queue)
  return tonumber(redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2] or math.huge)
end

local next_us = math.min(first_of(due), first_of(leased))
if next_us < math.huge then
  answer[2] = math.max(math.ceil((next_us - now_us) / 1000), 0)
end
return answer
