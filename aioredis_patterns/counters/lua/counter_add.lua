-- Adds to a counter within its bounds; one that is created expires.
-- KEYS
--   1 counter  string, an integer
-- ARGV
--   1 by       integer
--   2 ttl      ms that a counter lives from its creation; 0 for ever
--   3 minimum  integer, empty for none
--   4 maximum  integer, empty for none
-- Returns
--   1 done   1 or 0; 0 where a bound forbids it
--   2 count  what the counter has now, as text
local counter = KEYS[1]
local by, ttl, minimum, maximum = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

local old = redis.call('GET', counter)
local new = tonumber(old or '0') + by
if math.abs(new) > 2 ^ 53 or new - tonumber(old or '0') ~= tonumber(by) then return { 0, old or '0' } end
if (minimum ~= '' and new < tonumber(minimum)) or (maximum ~= '' and new > tonumber(maximum)) then
  return { 0, old or '0' }
end
if old then return { 1, string.format('%.0f', redis.call('INCRBY', counter, by)) } end
if ttl > 0 then
  redis.call('SET', counter, by, 'PX', ttl)
else
  redis.call('SET', counter, by)
end
return { 1, by }
