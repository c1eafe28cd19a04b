-- Entries: a header of 68 characters, then the tags joined by '|', then the value's bytes.
--   1      version, '1'
--   2      kind: 'p' plain, 't' has tags, 's' may become stale while it exists
--   3-6    codec, hexadecimal; 0000 for None
--   7-22   generation, the latest stamp of the marks when its load began
--   23-38  created, us
--   39-54  expires, us; 0 when it was expired by hand
--   55-64  load, how long it took, us
--   65-68  length of the tags

local GONE, FRESH, STALE, BROKEN = 0, 1, 2, -1

-- What a stored string is worth: it is fresh, stale, gone because it was invalidated, or no entry at all; and for how
-- many us it stays fresh.
local function state_of(entry, marks, tags)
  if #entry < 68 or not string.find(string.sub(entry, 1, 68), '^1[pts]%x%x%x%x%d+$') then
    return BROKEN
  end
  local names = string.sub(entry, 69, 68 + tonumber(string.sub(entry, 65, 68)))
  if not unchanged(marks, tags, string.sub(entry, 7, 22), names) then
    return GONE
  end
  local left_us = tonumber(string.sub(entry, 39, 54)) - server_us()
  local stale = left_us <= 0 and string.sub(entry, 2, 2) == 's'
  return stale and STALE or FRESH, left_us
end

-- Whether less is left than lead thousandths of what its load took: then it is time to load it anew.
local function is_early(entry, left_us, lead)
  return lead > 0 and left_us < tonumber(string.sub(entry, 55, 64)) * lead / 1000
end
