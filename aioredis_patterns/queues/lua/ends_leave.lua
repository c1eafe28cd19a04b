-- Wait for items no more, and put back the one that came too late for its taker.
--
-- KEYS
--   1 list     list: items
--   2 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 side     left or right, where the item was taken
--   2 inbox    channel of the client; empty when another of its tasks waits
--   3.. item   what is put back, if anything
-- Returns
--   integer: how many items there are now
local list, waiters = KEYS[1], KEYS[2]
local side, inbox = ARGV[1], ARGV[2]

local items = { unpack(ARGV, 3) }
if #items > 0 and side == 'left' then
  redis.call('LPUSH', list, unpack(items))
elseif #items > 0 then
  redis.call('RPUSH', list, unpack(items))
end
if inbox ~= '' then redis.call('ZREM', waiters, inbox) end
announce(list, waiters)
return redis.call('LLEN', list)
