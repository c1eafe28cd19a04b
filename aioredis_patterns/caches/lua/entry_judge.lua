-- Reads an entry and says what it is worth, where that takes more than a glance at the marks.
-- KEYS
--   1 value  string
--   2 marks  string
--   3 tags   hash
-- Returns
--   string   the entry, fresh
--   array    the entry alone, stale
--   integer  0 there is none, or it was invalidated; -1 the stored bytes are no entry
local value, marks, tags = KEYS[1], KEYS[2], KEYS[3]

local entry = redis.call('GET', value)
if not entry then
  return GONE
end
local state = state_of(entry, marks, tags)
if state == FRESH then
  return entry
end
if state == STALE then
  return { entry }
end
return state
