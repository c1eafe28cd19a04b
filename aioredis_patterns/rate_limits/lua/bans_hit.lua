-- Counts a hit, unless its subject is banned, and bans a subject that is denied too often.
-- KEYS
--   1 state  any type, of the limit
--   2 bans   string
-- ARGV
--   1 told     the limit's kind with what the scripts of its kind are told
--   2 cost     units
--   3 charged  1 where a denied hit counts too, or 0
--   4 after    denials that bring a ban
--   5 within   us that denials count for, from the first one on
--   6 length   us of a first ban
--   7 longest  us of the longest ban
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 retry      us until the same hit passes; 0 it did, -1 never
--   4 reset      us until nothing is used
--   5 left       us that a ban still lasts; 0 there is none
--   6 fresh      1 this hit has brought it, or 0
local state, bans = KEYS[1], KEYS[2]
local told, cost, charged = ARGV[1], ARGV[2], ARGV[3]
local after, within = tonumber(ARGV[4]), tonumber(ARGV[5])
local length, longest = tonumber(ARGV[6]), tonumber(ARGV[7])

local now = server_us()
local count, ends, level, free, left = read_bans(redis.call('GET', bans), now, longest)
if left > 0 then
  return banned_answer(ask(calls, '_peek', { state }, told, cost), left, 0)
end

local answer = ask(calls, '_hit', { state }, told, cost, charged)
if answer[1] == 1 then
  return { 1, answer[2], answer[3], answer[4], 0, 0 }
end

if now >= ends or ends > now + within then
  count, ends = 0, now + within
end
count = count + 1
local fresh = count >= after
if fresh then
  left = math.min(length * 2 ^ level, longest)
  count, ends, level, free = 0, 0, level + 1, now + left
end
local lasts = math.max(ends, level > 0 and free + longest or 0) - now
local record = string.format('%.0f %.0f %.0f %.0f', count, ends, level, free)
redis.call('SET', bans, record, 'PX', string.format('%.0f', math.ceil(lasts / 1000) + 1))
return banned_answer(answer, left, fresh and 1 or 0)
