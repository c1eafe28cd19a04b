-- Notes that a record could not be written: it is due again later, or a dead letter.
-- KEYS
--   1 dirty   hash
--   2 due     zset
--   3 leased  zset
--   4 dead    hash
-- ARGV
--   1 part      key, escaped
--   2 version   of the record that was tried
--   3 until_us  us  until which it was leased
--   4 pause_ms  ms  until it is tried again
--   5 attempts  tries after which it is a dead letter
-- Returns
--   integer  1 it is tried again, 2 it is dead, 0 the lease was lost
local dirty, due, leased, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local part, version, until_us = ARGV[1], ARGV[2], ARGV[3]
local pause_ms, attempts = tonumber(ARGV[4]), tonumber(ARGV[5])

local record = redis.call('HGET', dirty, part)
if redis.call('ZSCORE', leased, part) ~= until_us or not record then
  return 0
end
redis.call('ZREM', leased, part)
if string.sub(record, 1, 16) ~= version then
  redis.call('ZADD', due, server_us(), part)
  return 1
end
local tried = tonumber(string.sub(record, 17, 20)) + 1
record = version .. string.format('%04d', math.min(tried, 9999)) .. string.sub(record, 21)
if tried < attempts then
  redis.call('HSET', dirty, part, record)
  redis.call('ZADD', due, server_us() + pause_ms * 1000, part)
  return 1
end
redis.call('HSET', dead, part, record)
redis.call('HDEL', dirty, part)
return 2
