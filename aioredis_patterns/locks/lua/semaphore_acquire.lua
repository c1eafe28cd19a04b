-- Take permits for a token: when so many are free, or when it has them already.
--
-- KEYS
--   1 permits  zset: each permit that is held, by the time at which it expires (us)
--   2 fence    string: integer, the newest fence of this semaphore
--   3 line     zset: those who wait, by the time they began (us)
--   4 heard    zset: the same, by the time until which they count as alive (us)
--   5 size     string: integer, how many permits there are; absent unless it was changed
-- ARGV
--   1 token    how many permits it stands for, and text
--   2 lease    ms
--   3 default  how many permits there are, unless the size says otherwise
--   4 fair     1 when those who wait longer go first, else 0
--   5 inbox    channel of the client; absent when the caller does not wait
--   6 waited   us that it has waited; absent with it
-- Returns
--   integer: a fence when it has them now, 0 when there are never so many, else minus the time until one expires (ms)
local permits, fence, line, heard, size = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token, lease, default, fair, inbox, waited = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local now, wanted = clock(), width(token)
local place, since = wanted .. ' ' .. (inbox or ''), now - (waited or 0)
local most = tonumber(redis.call('GET', size) or default)
local free = most - taken(permits, now)
local again = redis.call('ZSCORE', permits, token .. ':1')
if wanted > most and not again then return 0 end

drop_silent(line, heard, now)
if inbox then since = tonumber(redis.call('ZSCORE', line, place) or since) end
if not again and wanted > (fair == '1' and left_for(line, since, free) or free) then
  if inbox then stand(line, heard, place, since, now) end
  call_next(line, permits, free, fair)
  local first = redis.call('ZRANGE', permits, 0, 0, 'WITHSCORES')
  return first[2] and -math.max(math.ceil((first[2] - now) / 1000), 1) or -1000
end

hold(permits, token, lease, now)
if inbox then leave(line, heard, place) end
call_next(line, permits, again and free or free - wanted, fair)
return draw(fence)
