-- Says what each of several limits would answer a hit, and writes nothing.
-- KEYS
--   1.. states  any type, those of one part after those of another
-- ARGV
--   for each part three: how many states it has; its kind with what the scripts of its kind are told; its cost in units
-- Returns
--   for each part four: allowed, remaining, retry and reset, as of that part alone; allowed is -1 where nothing was done
--   because a quota's period is over, and remaining is then the time (us)
local answers = {}
for i, part in ipairs(read_parts(KEYS, ARGV)) do
  answers[i] = ask(calls, '_peek', part.states, part.told, part.cost)
end
return flat(answers)
