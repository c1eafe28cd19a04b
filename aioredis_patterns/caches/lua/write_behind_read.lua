-- Reads records: of one key what the store is still to be told, or all the dead letters.
-- KEYS
--   1 records  hash
-- ARGV
--   1.. part  key, escaped; none for all
-- Returns
--   string  the record, or nil
--   array   every key and its record, in turn
local records = KEYS[1]

if #ARGV == 0 then
  return redis.call('HGETALL', records)
end
return redis.call('HGET', records, ARGV[1])
