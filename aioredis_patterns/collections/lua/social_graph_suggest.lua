-- Counts whom the people that somebody follows follow, and leaves out whom he follows himself.
-- KEYS
--   1 following  set, whom he follows
--   2.. theirs   set, whom each of them follows
-- ARGV
--   1 one     text
--   2 sample  neighbours that are drawn of each
-- Returns
--   list: text and number, whom so many of them follow
local following = KEYS[1]
local one, sample = ARGV[1], tonumber(ARGV[2])

local votes, order = {}, {}
local function ask(theirs)
  for _, other in ipairs(redis.call('SRANDMEMBER', theirs, sample)) do
    if not votes[other] then order[#order + 1] = other end
    votes[other] = (votes[other] or 0) + 1
  end
end
for at = 2, #KEYS do ask(KEYS[at]) end
local found = {}
for _, other in ipairs(order) do
  if other ~= one and redis.call('SISMEMBER', following, other) == 0 then
    found[#found + 1] = other
    found[#found + 1] = votes[other]
  end
end
return found
