-- Holds room in the period that runs, for a cost that is known later.
-- KEYS
--   1 quota     string
--   2 reserved  zset
-- ARGV
--   1 limit  units
--   2 start  us, of the period that the caller takes for the present one
--   3 stop   us, its end
--   4 cost   units
--   5 mine   string, 'cost id'
--   6 lease  ms
-- Returns
--   1 allowed    1 or 0; -1 when that period is not the present one
--   2 remaining  units; the time (us) when that period is not the present one
--   3 retry      us until the same reservation passes; 0 it did, -1 never
--   4 reset      us until nothing is used
local quota, reserved = KEYS[1], KEYS[2]
local limit, start, stop, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local mine, lease = ARGV[5], tonumber(ARGV[6])

local now = server_us()
if now < start or now >= stop then
  return { -1, now, 0, 0 }
end
local used, from, to, gone = read_quota(quota, reserved, now, start, stop)
if gone and redis.call('ZSCORE', reserved, mine) then
  return { 1, math.max(limit - used, 0), 0, to - now }
end
if used + cost > limit then
  if gone then
    write_quota(quota, reserved, used, from, to, now, gone)
  end
  return { 0, math.max(limit - used, 0), cost > limit and -1 or to - now, used > 0 and to - now or 0 }
end

write_quota(quota, reserved, used + cost, from, to, now, gone)
redis.call('ZADD', reserved, string.format('%.0f', now + lease * 1000), mine)
redis.call('PEXPIRE', reserved, string.format('%.0f', math.ceil((to - now) / 1000)))
return { 1, limit - used - cost, 0, to - now }
