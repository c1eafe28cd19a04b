-- Says what a hit would be answered, with regard to bans.
-- KEYS
--   1 state  any type, of the limit
--   2 bans   string
-- ARGV
--   1 told     the limit's kind with what the scripts of its kind are told
--   2 cost     units
--   3 longest  us of the longest ban
-- Returns
--   1 allowed    1 or 0
--   2 remaining  units
--   3 retry      us until the same hit passes; 0 now, -1 never
--   4 reset      us until nothing is used
--   5 left       us that a ban still lasts; 0 there is none
--   6 fresh      0
local state, bans = KEYS[1], KEYS[2]
local told, cost, longest = ARGV[1], ARGV[2], tonumber(ARGV[3])

local answer = ask(calls, '_peek', { state }, told, cost)
local _, _, _, _, left = read_bans(redis.call('GET', bans), server_us(), longest)
if left > 0 then
  return banned_answer(answer, left, 0)
end
return { answer[1], answer[2], answer[3], answer[4], 0, 0 }
