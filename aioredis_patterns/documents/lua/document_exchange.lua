-- Changes a document if it is still as the caller saw it.
-- KEYS
--   1 document  string
-- ARGV
--   1 before  JSON, empty where there was none
--   2 after   JSON
--   3 ttl     ms that a new one lives; 0 for ever
-- Returns
--   integer: 1; 0 where another was faster
local document = KEYS[1]
local before, after, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])

if (redis.call('GET', document) or '') ~= before then return 0 end
if before == '' and ttl > 0 then
  redis.call('SET', document, after, 'PX', ttl)
else
  redis.call('SET', document, after, 'KEEPTTL')
end
return 1
