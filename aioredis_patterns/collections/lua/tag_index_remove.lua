-- Takes tags from an item; one without any is forgotten.
-- KEYS
--   1 items  set, the items that have any tag
--   2 tags   set, the tags of the item
--   3.. tag  set, the items of each tag that is taken
-- ARGV
--   1 item  text
--   2 all   1 where these are to be all its tags, and nothing is taken if they are not
--   3.. tag  text, each that is taken
-- Returns
--   integer: how many of them it had; -1 where it has others
local items, tags = KEYS[1], KEYS[2]
local item, all = ARGV[1], ARGV[2]

if all == '1' and redis.call('SCARD', tags) ~= #ARGV - 2 then return -1 end
for at = 3, all == '1' and #ARGV or 0 do
  if redis.call('SISMEMBER', tags, ARGV[at]) == 0 then return -1 end
end
for at = 3, #KEYS do redis.call('SREM', KEYS[at], item) end
local taken = #ARGV > 2 and redis.call('SREM', tags, unpack(ARGV, 3)) or 0
if redis.call('EXISTS', tags) == 0 then redis.call('SREM', items, item) end
return taken
