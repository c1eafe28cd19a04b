-- Takes a hit back from each of several limits.
-- KEYS
--   1.. states  any type, those of one part after those of another
-- ARGV
--   for each part three: how many states it has; its kind with what the scripts of its kind are told; its cost in units
-- Returns
--   for each part four: allowed, remaining, retry and reset, as of that part alone; allowed is -1 where nothing was done
--   because a quota's period is over, and remaining is then the time (us)
local parts, answers, known = read_parts(KEYS, ARGV), {}, true
for i, part in ipairs(parts) do
  answers[i] = ask(calls, '_peek', part.states, part.told, part.cost)
  known = known and answers[i][1] >= 0
end
if not known then
  return flat(answers)
end

for i, part in ipairs(parts) do
  answers[i] = ask(calls, '_refund', part.states, part.told, part.cost)
end
return flat(answers)
