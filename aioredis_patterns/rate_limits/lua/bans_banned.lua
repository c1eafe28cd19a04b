-- Lists who is banned, the first to be free first.
-- KEYS
--   1 banned  sorted set, subjects by the end of their ban (us)
-- ARGV
--   1 most  how many are listed
-- Returns
--   any number of pairs: subject, and us that the ban still lasts
local banned = KEYS[1]
local most = tonumber(ARGV[1])

local now = server_us()
local after = string.format('(%.0f', now)
local rows = redis.call('ZRANGE', banned, after, '+inf', 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
for i = 2, #rows, 2 do
  rows[i] = rows[i] - now
end
return rows
