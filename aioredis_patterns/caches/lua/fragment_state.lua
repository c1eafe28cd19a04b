-- Entries: a header of 68 characters, then the tags joined by '|', then the value's bytes.
--   1      version, '1'
--   2      '0' fresh for as long as it exists, '1' the rest of the header has a say
--   3-6    codec, hexadecimal
--   7-22   generation, the reading of the shard's clock when the load began
--   23-38  created, us
--   39-54  expires, us
--   55-64  load, how long it took, us
--   65-68  length of the tags

local GONE, FRESH, STALE, BROKEN = 0, 1, 2, -1

-- What a stored string is worth: it is fresh, stale, gone because it was invalidated, or no entry at all.
local function state_of(entry, generations)
  if string.sub(entry, 1, 2) == '10' and unchanged(generations, string.sub(entry, 7, 22), '') then
    return FRESH
  end
  if #entry < 68 or not string.find(string.sub(entry, 1, 68), '^1[01]%x%x%x%x%d+$') then
    return BROKEN
  end
  local tags = string.sub(entry, 69, 68 + tonumber(string.sub(entry, 65, 68)))
  if string.sub(entry, 2, 2) == '0' or not unchanged(generations, string.sub(entry, 7, 22), tags) then
    return GONE
  end
  local time = redis.call('TIME')
  local now_us = time[1] * 1000000 + time[2]
  return now_us < tonumber(string.sub(entry, 39, 54)) and FRESH or STALE
end
