-- Reads records: of one key what the store is still to be told, or all the dead letters.
-- KEYS
--   1 records  hash
-- ARGV
--   1 part  key, escaped, or empty for all
-- Returns
--   string  the record, or nil
--   array   every key and its record, in turn
local records = KEYS[1]
local part = ARGV[1]

if part == '' then
  return redis.call('HGETALL', records)
end
return redis.call('HGET', records, part)
