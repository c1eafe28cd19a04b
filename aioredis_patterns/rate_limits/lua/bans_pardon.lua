-- Ends a ban, and forgets the denials and the bans before.
-- KEYS
--   1 bans  string
-- Returns
--   integer  1 there was something to forget, 0 there was nothing
local bans = KEYS[1]

return redis.call('DEL', bans)
