-- Prolongs the lease of records that are being written, as far as it was not lost.
-- KEYS
--   1 leased  zset
-- ARGV
--   1 until_us    us  until which they are leased
--   2 renewed_us  us  until which they are to be
--   3.. part      key, escaped
-- Returns
--   integer  how many of them are leased until then
local leased = KEYS[1]
local until_us, renewed_us = ARGV[1], ARGV[2]

local held = 0
for at = 3, #ARGV do
  local ends = redis.call('ZSCORE', leased, ARGV[at])
  -- Those that end then already are of the same call, whose first reply was lost.
  if ends == until_us or ends == renewed_us then
    redis.call('ZADD', leased, renewed_us, ARGV[at])
    held = held + 1
  end
end
return held
