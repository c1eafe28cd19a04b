-- Puts a subject on the list of the banned ones, or takes it off, and forgets those whose ban is over.
-- KEYS
--   1 banned  sorted set, subjects by the end of their ban (us)
-- ARGV
--   1 subject  string; empty for no subject
--   2 left     us that the ban lasts; 0 takes it off
-- Returns
--   integer  how many were forgotten
local banned = KEYS[1]
local subject, left = ARGV[1], tonumber(ARGV[2])

local now = server_us()
redis.call('ZADD', banned, string.format('%.0f', now + left), subject)
local forgotten = redis.call('ZREMRANGEBYSCORE', banned, '-inf', string.format('%.0f', now))
local last = redis.call('ZRANGE', banned, -1, -1, 'WITHSCORES')
if last[2] then
  redis.call('PEXPIRE', banned, string.format('%.0f', math.ceil((last[2] - now) / 1000) + 1))
end
return forgotten
