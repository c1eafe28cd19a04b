-- Gives the mark of this moment, by which a later call knows what was invalidated since.
-- KEYS
--   1 marks  string
--   2 tags   hash
-- ARGV
--   1 keep_ms  ms  that marks are kept at least
-- Returns
--   string  the latest stamp
local marks, tags = KEYS[1], KEYS[2]
local keep_ms = tonumber(ARGV[1])

return latest_of(marks, tags, keep_ms)
