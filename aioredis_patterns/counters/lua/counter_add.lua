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
--   2 count  what the counter has now, as text; empty where it was left alone
local counter = KEYS[1]
local by, ttl, minimum, maximum = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

local old, step = redis.call('GET', counter), tonumber(by)
local before = tonumber(old or '0')
if not before or before - before ~= 0 then return redis.error_reply('ERR what the counter holds is no number') end
local new = before + step
local bound = step < 0 and minimum or maximum
if math.abs(new) > 2 ^ 53 or new - before ~= step then return { 0, '' } end
if bound ~= '' and (new - bound) * step > 0 then return { 0, '' } end
if old then return { 1, string.format('%.0f', redis.call('INCRBY', counter, by)) } end
if ttl > 0 then
  redis.call('SET', counter, by, 'PX', ttl)
else
  redis.call('SET', counter, by)
end
return { 1, by }
