-- Holds a delivery for so long from now.
--
-- KEYS
--   1 log    stream
--   2 later  zset: ids that were given back or held longer, by the time they may be claimed (us)
-- ARGV
--   1 group       text
--   2 consumer    text
--   3 id          of the entry
--   4 attempt     the delivery's number
--   5 visibility  ms
--   6 lease       ms
-- Returns
--   integer: 1; 0 when another has it, or nobody
local log, later = KEYS[1], KEYS[2]
local group, consumer, id, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local visibility, lease = tonumber(ARGV[5]), tonumber(ARGV[6])

if not held(log, group, consumer, id, attempt) then return 0 end
local idle = math.max(visibility - lease, 0)
redis.call('XCLAIM', log, group, consumer, 0, id, 'IDLE', idle, 'JUSTID')
if lease <= visibility then
  redis.call('ZREM', later, id)
else
  put_off(later, id, clock(), lease)
end
return 1
