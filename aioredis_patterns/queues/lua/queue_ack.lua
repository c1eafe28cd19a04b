-- End a message whose handling succeeded, if the token still holds it.
--
-- KEYS
--   1 leased    zset: tokens by the end of their lease (us)
--   2 messages  hash: records by id
--   3 index     hash: what is known of ids, tokens and dedup keys
-- ARGV
--   1 token     of the delivery
-- Returns
--   integer: 1 when it was held, 0 when the lease had moved on
local leased, messages, index = KEYS[1], KEYS[2], KEYS[3]
local token = ARGV[1]

local hold = held(index, token)
if not hold then return 0 end
local message = read(messages, hold.id)
let_go(leased, index, token)
forget(messages, index, hold.id, message.dedup)
return 1
