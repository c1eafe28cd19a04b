-- Finds the items that have all of some tags, any of others, and none of the last.
-- KEYS
--   1 items  set, the items that have any tag
--   2.. tag  set, the items of each tag that is named
-- ARGV
--   1 all  how many of the tags an item must have
--   2 any  how many of those that follow it must have one of
-- Returns
--   list of strings: the items
local items = KEYS[1]
local all, any = tonumber(ARGV[1]), tonumber(ARGV[2])

local function note(tag, seen)
  for _, item in ipairs(redis.call('SMEMBERS', tag)) do seen[item] = true end
end

local function have(from, to)
  local seen = {}
  for at = from, to do note(KEYS[at], seen) end
  return seen
end

local base
if all > 0 then
  base = redis.call('SINTER', unpack(KEYS, 2, all + 1))
elseif any > 0 then
  base = redis.call('SUNION', unpack(KEYS, 2, any + 1))
else
  base = redis.call('SMEMBERS', items)
end
local wanted, unwanted = have(all + 2, all + any + 1), have(all + any + 2, #KEYS)
local found = {}
for _, item in ipairs(base) do
  if (any == 0 or wanted[item]) and not unwanted[item] then found[#found + 1] = item end
end
return found
