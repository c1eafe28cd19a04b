-- Reads all flags of an application.
-- KEYS
--   1 flags    hash, how each flag is set
--   2 numbers  hash, the bit of each flag; under the empty name the last that was given
-- Returns
--   1 now    us, as text
--   2 count  how many of the next are of flags
--   3.. each flag and how it is set, then each with its bit
local flags, numbers = KEYS[1], KEYS[2]

local time = redis.call('TIME')
local found = redis.call('HGETALL', flags)
local bits = redis.call('HGETALL', numbers)
local reply = { string.format('%.0f', time[1] * 1000000 + time[2]), #found }
for _, item in ipairs(found) do
  reply[#reply + 1] = item
end
for at = 1, #bits, 2 do
  if bits[at] ~= '' then
    reply[#reply + 1] = bits[at]
    reply[#reply + 1] = bits[at + 1]
  end
end
return reply
