-- Takes back what was used in the period that runs.
-- KEYS
--   1 quota     string
--   2 reserved  zset
-- ARGV
--   1 limit  units
--   2 start  us, of the period that the caller takes for the present one
--   3 stop   us, its end
--   4 cost   units
-- Returns
--   1 allowed    1 or 0, whether a hit of that cost would pass now; -1 when that period is not the present one
--   2 remaining  units; the time (us) when that period is not the present one
--   3 retry      us until it passes; 0 now, -1 never
--   4 reset      us until nothing is used
local quota, reserved = KEYS[1], KEYS[2]
local limit, start, stop, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local now = server_us()
if now < start or now >= stop then
  return { -1, now, 0, 0 }
end
local used, from, to, gone = read_quota(quota, reserved, now, start, stop)
used = math.max(used - cost, 0)
if gone then
  write_quota(quota, reserved, used, from, to, now, gone)
end
local remaining, reset = math.max(limit - used, 0), used > 0 and to - now or 0
if cost <= remaining then
  return { 1, remaining, 0, reset }
end
return { 0, remaining, cost > limit and -1 or to - now, reset }
