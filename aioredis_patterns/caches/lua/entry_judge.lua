-- Reads an entry and says what it is worth, where that takes more than a glance at the marks.
-- KEYS
--   1 value  string
--   2 marks  string
--   3 tags   hash
-- ARGV
--   1 lead  loads, in thousandths: how many times the duration of its load an entry counts as expiring early
-- Returns
--   string   the entry, fresh
--   array    the entry, and 1 when it is stale or 0 when it expires so soon that it is time to load it anew
--   integer  0 there is none, or it was invalidated; -1 the stored bytes are no entry
local value, marks, tags = KEYS[1], KEYS[2], KEYS[3]
local lead = tonumber(ARGV[1])

local entry = redis.call('GET', value)
if not entry then
  return GONE
end
local state, left_us = state_of(entry, marks, tags)
if state == STALE then
  return { entry, 1 }
end
if state == FRESH and is_early(entry, left_us, lead) then
  return { entry, 0 }
end
return state == FRESH and entry or state
