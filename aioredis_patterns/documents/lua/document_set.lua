-- Stores a document.
-- KEYS
--   1 document  string
-- ARGV
--   1 value  JSON
--   2 ttl    ms that it lives; 0 to leave its expiry as it is
-- Returns
--   integer: 1
local document = KEYS[1]
local value, ttl = ARGV[1], tonumber(ARGV[2])

if ttl > 0 then
  redis.call('SET', document, value, 'PX', ttl)
else
  redis.call('SET', document, value, 'KEEPTTL')
end
return 1
