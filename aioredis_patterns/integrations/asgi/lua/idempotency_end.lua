-- Keeps the answer of the request that has an idempotency key, or frees the key when there is none to be kept.
--
-- KEYS
--   1 record  hash: token, payload, answer
-- ARGV
--   1 token   of the request
--   2 ttl_ms  ms
--   3 answer  bytes, or empty
-- Returns
--   nothing
local record = KEYS[1]
local token, ttl_ms, answer = ARGV[1], ARGV[2], ARGV[3]

if redis.call('HGET', record, 'token') ~= token then return end
if answer == '' then
  redis.call('DEL', record)
  return
end
redis.call('HSET', record, 'answer', answer)
redis.call('PEXPIRE', record, ttl_ms)
