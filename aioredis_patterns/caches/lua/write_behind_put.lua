-- Puts a value, or its deletion, into the cache and on the list of what the store has to be told.
-- KEYS
--   1 value   string
--   2 lead    string
--   3 marks   string
--   4 tags    hash
--   5 dirty   hash
--   6 due     zset
--   7 leased  zset
-- ARGV
--   1 part      key, escaped
--   2 head      of the record: what it is, its codec, its key
--   3 deleted   1 it is to be deleted
--   4 delay_ms  ms  until it is written, at most
--   5 codec     hexadecimal
--   6 ttl_ms    ms  until it is stale
--   7 life_ms   ms  until it is dropped
--   8 keep_ms   ms  that marks are kept at least
--   9 names     of its tags, joined by '|'
--   10 channel   name
--   11 body      bytes
-- Returns
--   integer  1
local value, lead, marks, tags = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local dirty, due, leased = KEYS[5], KEYS[6], KEYS[7]
local part, head, deleted, delay_ms = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
local codec, ttl_ms, life_ms, keep_ms = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local names, channel, body = ARGV[9], ARGV[10], ARGV[11]

local before = redis.call('HGET', dirty, part)
local last = before and tonumber(string.sub(before, 1, 16)) or 0
local version = math.max(server_us(), last + 1)
redis.call('HSET', dirty, part, string.format('%016.0f0000', version) .. head .. body)
-- One that is being written comes again when that is over; one that waits keeps its turn, unless it pauses for longer.
if not redis.call('ZSCORE', leased, part) then
  redis.call('ZADD', due, 'LT', server_us() + delay_ms * 1000, part)
end
if deleted then
  redis.call('DEL', value)
else
  local entry = pack(codec, latest_of(marks, tags, keep_ms), ttl_ms, life_ms, 0, names, body)
  redis.call('SET', value, entry, 'PX', life_ms)
end
if redis.call('DEL', lead) == 1 then
  redis.call('PUBLISH', channel, 'set')
end
return 1
