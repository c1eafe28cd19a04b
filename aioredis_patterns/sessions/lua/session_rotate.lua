-- Gives a session a new token; the old one leads to it for a while, and later tells of a theft.
--
-- KEYS
--   1 old     hash, the session
--   2 new     hash, what it becomes
--   3 epochs  hash
--   4 index   zset
-- ARGV
--   1 left       digest of the old token
--   2 successor  digest of the new token
--   3 idle       ms
--   4 grace      ms
--   5 verified   1 when the user has just shown who he is
-- Returns
--   list: its fields, each with its value; none when it had ended or was rotated by another
local old, new, epochs, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local left, successor, idle, grace, verified = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]

if redis.call('HGET', old, 'successor') == successor then
  return owner_of(redis.call('HGET', new, 'head'), epochs) and redis.call('HGETALL', new) or {}
end
local head = redis.call('HGET', old, 'head')
local user = owner_of(head, epochs)
local now, last = server_us(), user and tonumber(part(head, LAST))
if not last then return {} end
local life = math.min(idle, math.floor((last - now) / 1000))
if life <= 0 then
  redis.call('DEL', old)
  return {}
end

head = with(head, SEEN, stamped(now))
if verified == '1' then head = with(head, AUTHENTICATED, stamped(now)) end
redis.call('RENAME', old, new)
redis.call('HSET', new, 'head', head)
redis.call('PEXPIRE', new, life)
redis.call('HSET', old, 'successor', successor, 'grace', stamped(now + grace * 1000))
redis.call('PEXPIRE', old, math.ceil((last - now) / 1000))
if user ~= '' then
  redis.call('ZADD', index, stamped(last), successor)
  redis.call('ZREM', index, left)
  live_until(index, last, now)
end
return redis.call('HGETALL', new)
