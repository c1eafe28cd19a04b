-- Counts a hit in each of several limits, if all of them have room for it.
-- KEYS
--   1.. states  any type, those of one part after those of another
-- ARGV
--   for each part three: how many states it has; its kind with what the scripts of its kind are told; its cost in units
-- Returns
--   for each part four: allowed, remaining, retry and reset, as of that part alone; allowed is -1 where nothing was done
--   because a quota's period is over, and remaining is then the time (us)
local parts, answers, allowed = read_parts(KEYS, ARGV), {}, true
for i, part in ipairs(parts) do
  answers[i] = ask(calls, '_peek', part.states, part.told, part.cost)
  allowed = allowed and answers[i][1] == 1
end

for i, part in ipairs(parts) do
  local answer = answers[i]
  if part.cost ~= '0' and (allowed or answer[1] == 0) then
    -- A part that denies counts nothing here either, but sees to its expiry.
    answers[i] = ask(calls, '_hit', part.states, part.told, part.cost)
  elseif answer[1] == 1 then
    for _, state in ipairs(part.states) do
      mend(state, answer[4])
    end
  end
end
return flat(answers)
