-- Counts who of those who were active in the first period came back in each later one, without a key left behind.
-- KEYS
--   1 scratch  string, which is gone when the script ends
--   2 cohort   string, likewise
--   3.. bits   string, the bitmap of each day, in order
-- ARGV
--   1 days  of a period
-- Returns
--   list of integers: how many there were in the first period, and how many of them in each later one
local scratch, cohort = KEYS[1], KEYS[2]
local days = tonumber(ARGV[1])

-- A key of another type ends it here, while there is nothing to be left behind.
for at = 3, #KEYS do redis.call('STRLEN', KEYS[at]) end
local function merge(operation, into, ...) redis.call('BITOP', operation, into, ...) end
merge('OR', cohort, unpack(KEYS, 3, 2 + days))
local counts = { redis.call('BITCOUNT', cohort) }
for at = 3 + days, #KEYS, days do
  merge('OR', scratch, unpack(KEYS, at, at + days - 1))
  merge('AND', scratch, scratch, cohort)
  counts[#counts + 1] = redis.call('BITCOUNT', scratch)
end
redis.call('DEL', scratch, cohort)
return counts
