-- Takes an idempotency key for one request, or tells what became of the request that has it.
--
-- KEYS
--   1 record  hash: token, payload, answer
-- ARGV
--   1 token     of this request
--   2 payload   hash of what it sends
--   3 lease_ms  ms
-- Returns
--   string  begun, mismatch, running or done
--   string  the answer when done, or else empty
local record = KEYS[1]
local token, payload, lease_ms = ARGV[1], ARGV[2], ARGV[3]

local held = redis.call('HMGET', record, 'token', 'payload', 'answer')
if held[2] and held[2] ~= payload then return { 'mismatch', '' } end
if held[3] then return { 'done', held[3] } end
if held[1] and held[1] ~= token then return { 'running', '' } end
redis.call('HSET', record, 'token', token, 'payload', payload)
redis.call('PEXPIRE', record, lease_ms)
return { 'begun', '' }
