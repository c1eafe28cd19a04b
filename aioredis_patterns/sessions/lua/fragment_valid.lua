-- Whose a session is: what no one has revoked, and what it takes to say so.

local function owner_of(session, epochs)
  local user, epoch = unpack(redis.call('HMGET', session, 'user', 'epoch'))
  if not user or user == '' then return user end
  local current = redis.call('HGET', epochs, user)
  return current and current:sub(1, 16) == epoch and user
end

local function live_until(key, last, now)
  local life = math.ceil((last - now) / 1000)
  if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, life) end
end
