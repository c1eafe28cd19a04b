-- Makes a session, and where its user has as many as allowed, ends the oldest.
--
-- KEYS
--   1 session  hash
--   2 epochs   hash
--   3 index    zset
--   any number of sessions that the index lists, in its order
-- ARGV
--   1 digest    of the token
--   2 user      text; empty for nobody
--   3 fresh     16 characters, the epoch of a user who has none
--   4 id        16 characters, the public one
--   5 device    text
--   6 idle      ms
--   7 lifetime  ms
--   8 most      count of sessions of one user; 0 for any number
--   9 fields    count
--   10.. field  each field, then its value; then the digests of the sessions in KEYS
-- Returns
--   list: made, its head; or full, the digests that the index lists, to be called with
local session, epochs, index = KEYS[1], KEYS[2], KEYS[3]
local digest, user, fresh, id, device = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local idle, lifetime, most, fields = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

local now = server_us()
local last, listed, alive = now + lifetime * 1000, {}, {}
if most > 0 and user ~= '' then listed = redis.call('ZRANGE', index, '(' .. stamped(now), '+inf', 'BYSCORE') end
if #listed > 0 and #listed >= most then
  if table.concat(listed) ~= table.concat(ARGV, '', 10 + 2 * fields) then
    table.insert(listed, 1, 'full')
    return listed
  end
  for at, other in ipairs(listed) do
    if redis.call('HEXISTS', KEYS[3 + at], 'head') == 1 then
      alive[#alive + 1] = at
    else
      redis.call('ZREM', index, other)
    end
  end
  for at = 1, #alive - most + 1 do
    redis.call('DEL', KEYS[3 + alive[at]])
    redis.call('ZREM', index, listed[alive[at]])
  end
end

local nothing = stamped(0)
local epoch = nothing
if user ~= '' then
  local known = redis.call('HGET', epochs, user)
  local ends = known and tonumber(known:sub(18)) or 0
  epoch = ends > now and part(known, 1) or fresh
  redis.call('HSET', epochs, user, epoch .. ':' .. stamped(math.max(ends, last)))
  live_until(epochs, last, now)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', stamped(now))
  redis.call('ZADD', index, stamped(last), digest)
  live_until(index, last, now)
  -- A user who does not come back leaves an epoch; each login looks at some, so that they do not pile up.
  local some = redis.call('HRANDFIELD', epochs, 2, 'WITHVALUES')
  for at = 1, #some, 2 do
    if tonumber(some[at + 1]:sub(18)) <= now then redis.call('HDEL', epochs, some[at]) end
  end
end
local head = epoch .. nothing .. stamped(now) .. (user ~= '' and stamped(now) or nothing) .. stamped(now)
  .. stamped(last) .. id .. string.format('%04d', #user) .. user .. device
redis.call('HSET', session, 'head', head, unpack(ARGV, 10, 9 + 2 * fields))
redis.call('PEXPIRE', session, math.min(idle, lifetime))
return {'made', head}
