-- Reads an entry for a copy in the process: what it is worth, and for how long.
-- KEYS
--   1 value  string
--   2 marks  string
--   3 tags   hash
-- ARGV
--   1 lead  loads, in thousandths: how many times the duration of its load an entry counts as expiring early
-- Returns
--   integer  1 fresh, 2 stale, 3 fresh but time to load it anew, 0 there is none, -1 the stored bytes are no entry
--   integer  us that it stays fresh
--   string   the entry, or empty
local value, marks, tags = KEYS[1], KEYS[2], KEYS[3]
local lead = tonumber(ARGV[1])

local entry = redis.call('GET', value)
if not entry then
  return { GONE, 0, '' }
end
local state, left_us = state_of(entry, marks, tags)
if state == FRESH and is_early(entry, left_us, lead) then
  state = 3
end
return { state, left_us or 0, entry }
