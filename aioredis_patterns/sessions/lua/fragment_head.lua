-- The head of a session, its field `head`: what a store has to know of it, in places of 16 characters.

-- 1 epoch, 17 version, 33 seen, 49 authenticated, 65 created, 81 end, 97 id; 113 bytes of the user in 4 digits, 117 the
-- user, and the device. Times are us; `authenticated` is 0 for nobody.
local VERSION, SEEN, AUTHENTICATED, LAST = 17, 33, 49, 81

local function part(head, at)
  return head:sub(at, at + 15)
end

local function stamped(us)
  return string.format('%016.0f', us)
end

local function with(head, at, text)
  return head:sub(1, at - 1) .. text .. head:sub(at + 16)
end

local function user_of(head)
  local length = tonumber(head:sub(113, 116))
  return length and head:sub(117, 116 + length)
end

-- Whose a session is, if that is so by the user's epoch: without it no one has it.
local function owner_of(head, epochs)
  local user = head and user_of(head)
  if not user or user == '' then return user end
  local current = redis.call('HGET', epochs, user)
  return current and part(current, 1) == part(head, 1) and user
end

local function live_until(key, last, now)
  local life = math.ceil((last - now) / 1000)
  if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, life) end
end
