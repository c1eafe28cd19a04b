-- Lets a field of a record expire, where the server has that.
-- KEYS
--   1 record  hash
-- ARGV
--   1 field  its name
--   2 ttl    ms
-- Returns
--   integer: 1; -2 where the field is not stored, -3 where the server is too old
local record = KEYS[1]
local field, ttl = ARGV[1], ARGV[2]

local reply = redis.pcall('HPEXPIRE', record, ttl, 'FIELDS', 1, field)
if not reply.err then return reply[1] end
if reply.err:find('nknown') then return -3 end
return reply
