-- Prolongs the lease of records that are being written, as far as it was not lost.
-- KEYS
--   1 leased  zset
-- ARGV
--   1 until_us  us  until which they are leased
--   2 lease_ms  ms
--   3.. part    key, escaped
-- Returns
--   integer  us until which they are leased
local leased = KEYS[1]
local until_us, lease_ms = ARGV[1], tonumber(ARGV[2])

local renewed_us = server_us() + lease_ms * 1000
for at = 3, #ARGV do
  if redis.call('ZSCORE', leased, ARGV[at]) == until_us then
    redis.call('ZADD', leased, renewed_us, ARGV[at])
  end
end
return renewed_us
