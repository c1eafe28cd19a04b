-- Adds to a number of a record.
-- KEYS
--   1 record  hash
-- ARGV
--   1 field    its name
--   2 by       integer or decimal
--   3 initial  what it is where it is not stored
--   4 kind     int or float
-- Returns
--   1 state  1; 0 where there is no record, -1 where it is null
--   2 value  what it is now, as text
local record = KEYS[1]
local field, by, initial, kind = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

if redis.call('EXISTS', record) == 0 then return { 0, '' } end
local old = redis.call('HGET', record, field)
if (old or initial) == 'null' then return { -1, '' } end
if not old then redis.call('HSET', record, field, initial) end
if kind == 'int' then
  redis.call('HINCRBY', record, field, by)
else
  redis.call('HINCRBYFLOAT', record, field, by)
end
return { 1, redis.call('HGET', record, field) }
