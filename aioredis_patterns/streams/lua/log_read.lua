-- Reads entries of a log, and remembers who waits for the next one when there is none.
--
-- KEYS
--   1 log      stream
--   2 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 first  id, with ( before it when it is left out
--   2 last   id
--   3 count  entries at most
--   4 inbox  channel of the client that waits; empty when it does not
-- Returns
--   list: the id of the log's newest entry, then of each its id, key, headers and payload
local log, waiters = KEYS[1], KEYS[2]
local first, last, count, inbox = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
local found = {newest and newest[1] or '0-0'}
for _, entry in ipairs(redis.call('XRANGE', log, first, last, 'COUNT', count)) do
  append_entry(found, entry)
end
if #found == 1 and inbox ~= '' then wait(waiters, inbox, clock()) end
return found
