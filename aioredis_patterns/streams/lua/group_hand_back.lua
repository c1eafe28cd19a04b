-- Takes back deliveries as if they had never been: of a claim that nobody waits for any more, or that was not begun.
--
-- KEYS
--   1 log      stream
--   2 later    zset: ids that were given back or held longer, by the time they may be claimed (us)
--   3 claims   zset: tokens with what they claimed, by the time of the claim (us)
--   4 waiters  zset: inboxes of the clients that wait, by the time they began (us)
-- ARGV
--   1 group       text
--   2 consumer    text
--   3 visibility  ms
--   4 token       of a claim; or an id, with its attempt after it
-- Returns
--   integer: how many
local log, later, claims, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, consumer, visibility, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local names, count, now = {token}, 0, clock()
for _, claim in ipairs(redis.call('ZRANGE', claims, 0, -1)) do
  local lines = {}
  for line in string.gmatch(claim, '[^\n]+') do lines[#lines + 1] = line end
  if lines[1] == token then
    names = lines
    redis.call('ZREM', claims, claim)
  end
end

for _, name in ipairs(names) do
  local id, attempt = string.match(name, '^(%d+%-%d+) (%d+)$')
  if id and held(log, group, consumer, id, attempt) then
    let_go(log, later, group, id, attempt - 1, visibility, now)
    count = count + 1
  end
end
if count > 0 then
  redis.call('PEXPIRE', later, 3600000)
  ring(log, waiters)
end
return count
