-- Makes a value stale at once, or removes it where it must not outlive that; revokes the load in progress.
-- KEYS
--   1 value  string
--   2 lead   string
-- ARGV
--   1 channel  name
-- Returns
--   integer  1 there was an entry, 0 there was none
local value, lead = KEYS[1], KEYS[2]
local channel = ARGV[1]

local header = redis.call('GETRANGE', value, 0, 67)
if header ~= '' then
  if #header == 68 and string.sub(header, 2, 2) == 's' then
    redis.call('SETRANGE', value, 38, '0000000000000000')
  else
    redis.call('DEL', value)
  end
end
if redis.call('DEL', lead) == 1 then
  redis.call('PUBLISH', channel, 'expired')
end
return header == '' and 0 or 1
