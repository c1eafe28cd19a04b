-- Forgets what all parts of a composite have counted.
-- KEYS
--   1.. states  any type, one for each part
-- Returns
--   integer  how many of them had counted something
local count = 0
for _, state in ipairs(KEYS) do
  count = count + redis.call('DEL', state)
end
return count
