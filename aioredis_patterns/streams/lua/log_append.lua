-- Appends entries to a log, unless their producer has done so already.
--
-- KEYS
--   1 log        stream
--   2 producers  hash: of each the newest sequence and the id it got
--   3 waiters    zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 length    entries that are kept; 0 for any number
--   2 age       ms that an entry is kept; 0 for ever
--   3 producer  text; empty for none
--   4 sequence  integer, the producer's number of the entry
--   5.. parts   of each entry its key, its headers and its payload
-- Returns
--   list: the ids; that of the producer's newest entry when it had sent this one before
local log, producers, waiters = KEYS[1], KEYS[2], KEYS[3]
local length, age, producer, sequence = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]

if producer ~= '' then
  local number, id = string.match(redis.call('HGET', producers, producer) or '', '^(%d+) (.+)$')
  if number and tonumber(sequence) <= tonumber(number) then return {id} end
end

local ids = {}
for at = 5, #ARGV, 3 do
  local fields = {'payload', ARGV[at + 2]}
  if ARGV[at] ~= '' then fields[3], fields[4] = 'key', ARGV[at] end
  if ARGV[at + 1] ~= '' then fields[#fields + 1], fields[#fields + 2] = 'headers', ARGV[at + 1] end
  ids[#ids + 1] = redis.call('XADD', log, '*', unpack(fields))
end
-- To the entry where it costs little; a long log is cut by whole blocks.
if length > 0 then redis.call('XTRIM', log, 'MAXLEN', length > 10000 and '~' or '=', length) end
if age > 0 then
  redis.call('XTRIM', log, 'MINID', string.format('%.0f', math.max(clock() / 1000 - age, 0)))
  redis.call('PEXPIRE', log, age)
end
if producer ~= '' then
  redis.call('HSET', producers, producer, sequence .. ' ' .. ids[1])
  redis.call('PEXPIRE', producers, 604800000)
  -- A producer that does not come back leaves its sequence; each append looks at some, so that they do not pile up.
  local some, since = redis.call('HRANDFIELD', producers, 2, 'WITHVALUES'), clock() - 604800000000
  for at = 1, #some, 2 do
    local ms = string.match(some[at + 1], '^%d+ (%d+)-')
    if ms and ms * 1000 < since then redis.call('HDEL', producers, some[at]) end
  end
end
ring(log, waiters)
return ids
