-- Takes a slot for a token: when one is free and nobody waits longer, or when it has one already.
-- KEYS
--   1 slots  zset, those held by the end of their leases (us)
--   2 line   zset, those who wait by the time they joined (us)
--   3 heard  zset, the same by the time until which they count as alive (us)
-- ARGV
--   1 limit    slots
--   2 token    of the caller
--   3 lease    ms
--   4 backlog  callers that may wait
--   5 inbox    channel of the caller's client; empty when it does not wait
-- Returns
--   1 allowed    1 or 0
--   2 remaining  slots
--   3 retry      us until a slot is free for it, or a waiter before it falls silent, unless leases are renewed; 0 it has one
--   4 reset      us until all slots are free, unless leases are renewed
--   5 waits      1 it stands in the line, 0 it does not
local slots, line, heard = KEYS[1], KEYS[2], KEYS[3]
local limit, token, lease, backlog, inbox = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]

local now, waiter = server_us(), token .. ' ' .. inbox
local free = free_slots(slots, limit, now)
drop_silent(line, heard, now)
local again = redis.call('ZSCORE', slots, token)
local place = redis.call('ZRANK', line, waiter)
local ahead = place or redis.call('ZCARD', line)
if not again and ahead >= free then
  local waits = inbox ~= '' and (place or ahead < backlog)
  if waits then
    local last = redis.call('ZRANGE', line, -1, -1, 'WITHSCORES')[2]
    redis.call('ZADD', line, 'NX', string.format('%.0f', math.max(now, (last or 0) + 1)), waiter)
    redis.call('ZADD', heard, string.format('%.0f', now + SILENCE), waiter)
    redis.call('PEXPIRE', line, 5000)
    redis.call('PEXPIRE', heard, 5000)
  end
  call_first(line, free)
  local turn = until_turn(slots, heard, ahead - math.max(free, 0), now)
  return { 0, 0, turn, until_end(slots, math.huge, now), waits and 1 or 0 }
end

hold(slots, token, lease, now)
leave_line(line, heard, waiter)
free = again and free or free - 1
call_first(line, free)
return { 1, math.max(free - redis.call('ZCARD', line), 0), 0, until_end(slots, math.huge, now), 0 }
