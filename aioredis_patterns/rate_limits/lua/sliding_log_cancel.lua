-- Gives a reservation back, if it is the last and not due yet.
-- KEYS
--   1 log  list
-- ARGV
--   1 mine  string, its entry
-- Returns
--   1 given  1 or 0
local log = KEYS[1]
local mine = ARGV[1]

local now = server_us()
local size, total, _, noted, pending = read_log(log, now)
if not pending or redis.call('LINDEX', log, -2) ~= mine then
  return 0
end
local _, cost = parse(mine)
if size == 1 then
  return redis.call('DEL', log)
end
redis.call('LTRIM', log, 0, -3)
local last = parse(redis.call('LINDEX', log, -1))
redis.call('RPUSH', log, summary(total - cost, last > now, noted))
return 1
