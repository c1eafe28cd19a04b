-- Copies a board to keys that expire.
-- KEYS
--   1 board   zset
--   2 places  hash, the place of each member among equals
--   3 levels  zset, the distinct scores
--   4 notes   hash, the metadata of members
--   5 copy    zset
--   6 stands  hash
--   7 steps   zset
--   8 words   hash
-- ARGV
--   1 ttl  ms that the copy lives
-- Returns
--   integer: how many members it has
local board, places, levels, notes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local copy, stands, steps, words = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local ttl = tonumber(ARGV[1])

redis.call('COPY', board, copy)
redis.call('COPY', places, stands)
redis.call('COPY', levels, steps)
redis.call('COPY', notes, words)
redis.call('PEXPIRE', copy, ttl)
redis.call('PEXPIRE', stands, ttl)
redis.call('PEXPIRE', steps, ttl)
redis.call('PEXPIRE', words, ttl)
return redis.call('ZCARD', copy)
