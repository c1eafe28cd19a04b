-- Tells what there is under a key, and who is at work on it.
-- KEYS
--   1 value    string
--   2 lead     string
--   3 marks    string
--   4 tags     hash
--   5 writers  hash
-- Returns
--   integer  state: 1 fresh, 2 stale, 0 there is none or it was invalidated, -1 the stored bytes are no entry
--   integer  us since it was stored
--   integer  us until it is stale
--   integer  ms until it is dropped; -2 there is none
--   integer  bytes
--   string   its header and its tags
--   integer  ms until the lease of a leader ends; -2 nobody loads it
--   integer  1 somebody writes the store behind it, 0 nobody does
local value, lead, marks, tags, writers = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local entry = redis.call('GET', value) or ''
local state, left_us, age_us, names = GONE, 0, 0, 0
if entry ~= '' then
  state, left_us = state_of(entry, marks, tags)
end
if state ~= BROKEN and entry ~= '' then
  left_us = tonumber(string.sub(entry, 39, 54)) - server_us()
  age_us = server_us() - tonumber(string.sub(entry, 23, 38))
  names = tonumber(string.sub(entry, 65, 68))
end
return {
  state,
  age_us,
  math.max(left_us or 0, 0),
  redis.call('PTTL', value),
  #entry,
  string.sub(entry, 1, 68 + names),
  redis.call('PTTL', lead),
  redis.call('EXISTS', writers),
}
