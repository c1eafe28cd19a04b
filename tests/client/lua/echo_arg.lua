-- Answer with the argument.
--
-- KEYS
--   1  key   any     where the call goes
-- ARGV
--   1  text  string  what to answer
-- Returns
--   the text
local text = ARGV[1]
return text
