-- Reads an entry and says what it is worth.
-- KEYS
--   1 value        string
--   2 generations  hash
-- Returns
--   string   the entry, fresh
--   array    the entry alone, stale
--   integer  0 there is none, or it was invalidated; -1 the stored bytes are no entry
local value, generations = KEYS[1], KEYS[2]

local entry = redis.call('GET', value)
if not entry then
  return GONE
end
local state = state_of(entry, generations)
if state == FRESH then
  return entry
end
if state == STALE then
  return { entry }
end
return state
