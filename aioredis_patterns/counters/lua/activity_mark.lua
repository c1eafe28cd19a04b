-- Marks members as active on a day; one that was never seen gets the next bit.
-- KEYS
--   1 bits  string, the bitmap of the day
--   2 ids   hash, the bit of each member
-- ARGV
--   1 start     us, since when the day is the present one; 0 for a day that was named
--   2 stop      us, until when
--   3 ends      ms since 1970, when the day's bitmap expires
--   4 capacity  bits that there may be
--   5 direct    1 where a member is its own bit
--   6.. member  text, each
-- Returns
--   1 fresh  how many were not marked yet; -1 over capacity, -2 not the present day, -3 a day that is not kept any more
--   2 now    server's time (us)
local bits, ids = KEYS[1], KEYS[2]
local start, stop, ends = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local capacity, direct = tonumber(ARGV[4]), ARGV[5]

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if start > 0 and (now < start or now >= stop) then return { -2, now } end
if ends * 1000 <= now then return { -3, now } end

local known = direct == '1' and { unpack(ARGV, 6) } or redis.call('HMGET', ids, unpack(ARGV, 6))
local count, last, given, pairs_of = redis.call('HLEN', ids), 0, {}, {}
for at = 1, #known do
  local member = ARGV[at + 5]
  local bit = known[at] or given[member]
  if not bit then
    bit, count = count, count + 1
    given[member] = bit
    pairs_of[#pairs_of + 1] = member
    pairs_of[#pairs_of + 1] = bit
  end
  known[at] = bit
  last = math.max(last, tonumber(bit))
end
if last >= capacity then return { -1, now } end

local length, needed = redis.call('STRLEN', bits), math.floor(last / 8) + 1
if needed > length then
  -- SETBIT would double the memory each time; a thirty-second more is enough, and copies seldom.
  local whole = math.min(needed + math.floor(needed / 32), math.ceil(capacity / 8))
  redis.call('SET', bits, (redis.call('GET', bits) or '') .. string.rep('\0', whole - length), 'KEEPTTL')
end
local fresh = 0
for _, bit in ipairs(known) do fresh = fresh + 1 - redis.call('SETBIT', bits, bit, 1) end
if length == 0 then redis.call('PEXPIREAT', bits, ends) end
if #pairs_of > 0 then redis.call('HSET', ids, unpack(pairs_of)) end
if direct ~= '1' and redis.call('PTTL', ids) < ends - now / 1000 then redis.call('PEXPIREAT', ids, ends) end
return { fresh, now }
