-- Marks: what was invalidated when, for all values of a shard.
--   marks  string  three numbers of 16 digits: the stamp of when all was invalidated last, the stamp of when anything
--                  was, and how long the longest-lived value lives, ms
--   tags   hash    the stamp of each tag invalidated since all was, and as '' the latest of them
-- A stamp is the server's us and later than the one before. An entry and a load keep the latest stamp of when they
-- began. A server that lost one of the keys has forgotten invalidations: then everything older counts as invalidated.

-- The three numbers; nothing where the server has lost them, or somebody put something else there.
local function stamps_of(marks)
  local stamps = redis.call('GET', marks)
  return stamps and #stamps == 48 and not string.find(stamps, '%D') and stamps
end

-- The latest stamp; what is stored with it may live for keep_ms, and the marks outlive it.
local function latest_of(marks, tags, keep_ms)
  local stamps = stamps_of(marks)
  local kept_ms = stamps and tonumber(string.sub(stamps, 33)) or 0
  if not stamps then
    stamps = string.rep(string.format('%016.0f', server_us()), 2)
  end
  if keep_ms > kept_ms then
    kept_ms = keep_ms
    redis.call('SET', marks, string.sub(stamps, 1, 32) .. string.format('%016.0f', kept_ms))
  end
  if redis.call('PTTL', marks) < kept_ms then
    redis.call('PEXPIRE', marks, 2 * kept_ms)
    redis.call('PEXPIRE', tags, 2 * kept_ms)
  end
  return string.sub(stamps, 17, 32)
end

-- Whether neither everything nor one of these names was invalidated since that stamp.
local function unchanged(marks, tags, since, names)
  local stamps = stamps_of(marks)
  local generation = tonumber(since)
  if not (stamps and generation) then
    return false
  end
  local latest = tonumber(string.sub(stamps, 17, 32))
  if not (generation >= tonumber(string.sub(stamps, 1, 16)) and generation <= latest) then -- nor is it NaN
    return false
  end
  if names == '' or generation == latest then
    return true
  end
  if tonumber(redis.call('HGET', tags, '') or 0) ~= latest then
    return false
  end
  for name in string.gmatch(names, '[^|]+') do
    if tonumber(redis.call('HGET', tags, name) or 0) > generation then
      return false
    end
  end
  return true
end
