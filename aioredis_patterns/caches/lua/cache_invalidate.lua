-- Invalidates all values of a shard, or those with one of the tags.
-- KEYS
--   1 marks  string
--   2 tags   hash
-- ARGV
--   1.. name  of a tag; none for all values
-- Returns
--   integer  1 invalidated, 0 there was nothing to invalidate
local marks, tags = KEYS[1], KEYS[2]

local stamps = stamps_of(marks)
if not stamps then
  return redis.call('DEL', marks)
end
local now_us = server_us()
local cleared, latest = string.sub(stamps, 1, 16), string.sub(stamps, 17, 32)
local stamp = string.format('%016.0f', math.max(now_us, tonumber(latest) + 1))

-- Without its latest stamp the hash is of a time before, or the server lost it: no tag's past is known.
local known = cleared == latest or redis.call('HGET', tags, '') == latest
if #ARGV == 0 or not known then
  cleared = stamp
end
if cleared == stamp or cleared == latest then
  redis.call('DEL', tags)
end
redis.call('SET', marks, cleared .. stamp .. string.sub(stamps, 33), 'KEEPTTL')
if cleared == stamp then
  return 1
end
for _, name in ipairs(ARGV) do
  redis.call('HSET', tags, name, stamp)
end
-- What was invalidated before the oldest value was loaded needs no stamp. A few looks each time keep up with it.
local sample = redis.call('HRANDFIELD', tags, 2 * #ARGV + 2, 'WITHVALUES')
for at = 1, #sample, 2 do
  if tonumber(sample[at + 1]) < now_us - tonumber(string.sub(stamps, 33)) * 1000 then
    redis.call('HDEL', tags, sample[at])
  end
end
redis.call('HSET', tags, '', stamp)
redis.call('PEXPIRE', tags, redis.call('PTTL', marks))
return 1
