-- Counts what was really used instead of what was reserved, once.
-- KEYS
--   1 quota     string
--   2 reserved  zset
-- ARGV
--   1 start    us, of the period it was reserved in
--   2 stop     us, its end
--   3 cost     units that were reserved
--   4 mine     string, 'cost id'
--   5 settled  string, '0 id'
--   6 actual   units that were used
--   7 lease    ms for which it is remembered
-- Returns
--   integer  1 it was still reserved, 0 its lease or its period was over
local quota, reserved = KEYS[1], KEYS[2]
local start, stop, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local mine, settled, actual, lease = ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])

local now = server_us()
if now >= stop then
  return 0
elseif redis.call('ZSCORE', reserved, settled) then
  return 1
end
local used, from, to, gone = read_quota(quota, reserved, now, start, stop)
local ends = gone and tonumber(redis.call('ZSCORE', reserved, mine) or 'gone')
local held = (ends and ends > now) and redis.call('ZREM', reserved, mine) or 0
used = math.min(math.max(used + actual - held * cost, 0), 2 ^ 53)
write_quota(quota, reserved, used, from, to, now, gone)
if actual > 0 then
  local left = string.format('%.0f', math.ceil((to - now) / 1000))
  redis.call('ZADD', reserved, string.format('%.0f', now + lease * 1000), settled)
  redis.call('PEXPIRE', reserved, left)
  if used == 0 then -- beside no quota the next hit would forget what was settled
    redis.call('SET', quota, string.format('0 %.0f %.0f', from, to), 'PX', left)
  end
end
return held
