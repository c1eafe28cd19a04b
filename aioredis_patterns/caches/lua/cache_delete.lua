-- Removes a value and revokes the load in progress, which began before.
-- KEYS
--   1 value  string
--   2 lead   string
-- ARGV
--   1 channel  name
-- Returns
--   integer  1 there was an entry, 0 there was none
local value, lead = KEYS[1], KEYS[2]
local channel = ARGV[1]

local removed = redis.call('DEL', value)
if redis.call('DEL', lead) == 1 then
  redis.call('PUBLISH', channel, 'deleted')
end
return removed
