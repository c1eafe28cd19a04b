-- Adds items to the estimate of a window.
-- KEYS
--   1 window  hyperloglog
-- ARGV
--   1 ttl  ms that the window is kept from its first item; 0 for ever
--   2.. item  each
-- Returns
--   integer: 1 when the estimate has changed
local window = KEYS[1]
local ttl = tonumber(ARGV[1])

local is_new = redis.call('EXISTS', window) == 0
local changed = redis.call('PFADD', window, unpack(ARGV, 2))
if is_new and ttl > 0 then redis.call('PEXPIRE', window, ttl) end
return changed
