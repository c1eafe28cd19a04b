-- Lets deliveries go on that their tokens still hold.
--
-- KEYS
--   any number of streams
-- ARGV
--   for each of them a token (id, attempt, group, consumer and log, a zero byte between them), then its lease (ms)
-- Returns
--   list of integers, one for each token: 1 when it goes on, 0 when the entry had moved on
local answers = {}
for at, log in ipairs(KEYS) do
  local id, attempt, group, consumer = string.match(ARGV[2 * at - 1], '^(.-)%z(.-)%z(.-)%z(.-)%z')
  answers[at] = held(log, group, consumer, id, attempt) and 1 or 0
  if answers[at] == 1 then redis.call('XCLAIM', log, group, consumer, 0, id, 'JUSTID') end
end
return answers
