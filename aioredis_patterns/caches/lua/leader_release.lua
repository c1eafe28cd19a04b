-- Gives up the lead without a value, and wakes those who wait for one.
-- KEYS
--   1 value  string
--   2 lead   string
-- ARGV
--   1 token     16 characters
--   2 channel   name
--   3 pause_ms  ms  that a stale value counts as fresh, so that what failed is not tried again at once
-- Returns
--   integer  1 given up, 0 it was lost before
local value, lead = KEYS[1], KEYS[2]
local token, channel, pause_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

if redis.call('GETRANGE', lead, 0, 15) ~= token then
  return 0
end
local header = redis.call('GETRANGE', value, 0, 67)
if pause_ms > 0 and #header == 68 and string.sub(header, 2, 2) == 's' then
  local until_us = server_us() + pause_ms * 1000
  if tonumber(string.sub(header, 39, 54)) < until_us then
    redis.call('SETRANGE', value, 38, string.format('%016.0f', until_us))
  end
end
redis.call('DEL', lead)
redis.call('PUBLISH', channel, 'released')
return 1
