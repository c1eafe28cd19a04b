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

local fields, head = redis.call('HGETALL', session), nil
for at = 1, #fields, 2 do
  if fields[at] == 'head' then
    head = fields[at + 1]
    break
  end
end
if not head then
  local successor, grace = unpack(redis.call('HMGET', session, 'successor', 'grace'))
  if not successor then return {} end
  return {'moved', successor, tonumber(grace) > server_us() and 1 or 0}
end
-- A head that makes no sense is for the caller, who tells of it.
if not owner_of(head, epochs) then return user_of(head) and {} or fields end

local left = redis.call('PTTL', session)
if left < idle * 0.9 and idle > 0 then
  local last, now = tonumber(part(head, LAST)), server_us()
  if not last then return fields end
  local life = math.min(idle, math.floor((last - now) / 1000))
  if life <= 0 then
    redis.call('DEL', session)
    return {}
  end
  if left < 0 or life - left > idle / 100 then
    redis.call('HSET', session, 'head', with(head, SEEN, stamped(now)))
    redis.call('PEXPIRE', session, life)
  end
end
return fields
