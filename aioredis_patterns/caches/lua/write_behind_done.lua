-- Forgets a record that the store has now, unless there is a newer one; takes what is older out of the cache.
-- KEYS
--   1 value   string
--   2 lead    string
--   3 dirty   hash
--   4 due     zset
--   5 leased  zset
-- ARGV
--   1 part      key, escaped
--   2 version   of the record that was written
--   3 until_us  us  until which it was leased
--   4 channel   name
--   5 content   that was written: its codec and its bytes
-- Returns
--   integer  1 forgotten, 0 there is a newer one
local value, lead, dirty, due, leased = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local part, version, until_us, channel, content = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local ours = redis.call('ZSCORE', leased, part) == until_us
local record = redis.call('HGET', dirty, part)
local newest = record and string.sub(record, 1, 16) == version
if newest then
  redis.call('HDEL', dirty, part)
end
if newest or ours then
  redis.call('ZREM', leased, part)
end
if not newest then
  if record and ours then
    redis.call('ZADD', due, server_us(), part)
  end
  return 0
end
-- What was loaded from the store while it did not have this yet must not stay.
local entry = redis.call('GET', value)
local names = entry and tonumber(string.sub(entry, 65, 68)) or 0
if entry and string.sub(entry, 3, 6) .. string.sub(entry, 69 + names) ~= content then
  redis.call('DEL', value)
end
if redis.call('DEL', lead) == 1 then
  redis.call('PUBLISH', channel, 'written')
end
return 1
