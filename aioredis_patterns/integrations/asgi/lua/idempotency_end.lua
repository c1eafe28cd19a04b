-- Keeps the answer of the request that has an idempotency key, or frees the key when there is none to be kept.
--
-- KEYS
--   1 record  hash: token, payload, answer
-- ARGV
--   1 token   of the request
--   2 ttl_ms  ms
--   3 answer  bytes, or empty
-- Returns
--   integer: 1 done, 0 another request has the key, or none has it
local record = KEYS[1]
local token, ttl_ms, answer = ARGV[1], ARGV[2], ARGV[3]

if redis.call('HGET', record, 'token') ~= token then return 0 end
if redis.call('HEXISTS', record, 'answer') == 1 then return 1 end
if answer == '' then return redis.call('DEL', record) end
redis.call('HSET', record, 'answer', answer)
redis.call('PEXPIRE', record, ttl_ms)
return 1
