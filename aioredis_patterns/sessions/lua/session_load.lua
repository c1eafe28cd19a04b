-- Reads a session, and lets it live on when a tenth of its idle time has passed.
--
-- KEYS
--   1 session  hash
--   2 epochs   hash
-- ARGV
--   1 idle  ms; 0 to leave its life as it is
-- Returns
--   list: its fields, each with its value; none when there is no such session; or moved, the digest of the token that
--   replaced this one, and 1 in the time in which the old one may still be used
local session, epochs = KEYS[1], KEYS[2]
local idle = tonumber(ARGV[1])

local user = owner_of(session, epochs)
if not user then
  local successor, grace = unpack(redis.call('HMGET', session, 'successor', 'grace'))
  if not successor then return {} end
  return {'moved', successor, tonumber(grace) > server_us() and 1 or 0}
end

local left = redis.call('PTTL', session)
if left < idle * 0.9 then
  local now = server_us()
  local life = math.min(idle, math.floor((redis.call('HGET', session, 'end') - now) / 1000))
  if life <= 0 then
    redis.call('DEL', session)
    return {}
  end
  if life - left > idle / 100 then
    redis.call('HSET', session, 'seen', string.format('%.0f', now))
    redis.call('PEXPIRE', session, life)
  end
end
return redis.call('HGETALL', session)
