-- Marks: what was invalidated when, for all values of a shard.
--   marks  string  two stamps of 16 digits: when all was invalidated, and when anything was
--   tags   hash    the stamp of each invalidated tag, and as '' the latest of them
-- Stamps are the server's us, but never run backwards. An entry or a load keeps the latest stamp of its beginning.
-- A server that lost either key has forgotten invalidations, so everything older counts as invalidated.

-- The latest stamp; without marks, or with only half of them, anew.
local function latest_of(marks, tags, keep_ms)
  local stamps = redis.call('GET', marks)
  if not stamps or (string.sub(stamps, 1, 16) ~= string.sub(stamps, 17) and redis.call('EXISTS', tags) == 0) then
    local time = redis.call('TIME')
    local now = string.format('%016.0f', math.max(time[1] * 1000000 + time[2], tonumber(stamps and string.sub(stamps, 17) or 0) + 1))
    stamps = now .. now
    redis.call('SET', marks, stamps)
  end
  if redis.call('PTTL', marks) < keep_ms then
    redis.call('PEXPIRE', marks, 2 * keep_ms)
    redis.call('PEXPIRE', tags, 2 * keep_ms)
  end
  return string.sub(stamps, 17)
end
