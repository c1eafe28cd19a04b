-- Bans: the string 'count ends level free', denials, until when (us) they count, bans so far, when (us) the last ends.
-- The bans so far are forgotten when the longest time of a ban has passed since the last one's end.

-- The four of them as of now, and how long (us) a ban still lasts.
local function read_bans(stored, now, longest)
  local count, ends, level, free = string.match(stored or '', '^(%d+) (%d+) (%d+) (%d+)$')
  if not count then
    return 0, 0, 0, 0, 0
  end
  count, ends, level, free = tonumber(count), tonumber(ends), tonumber(level), tonumber(free)
  if now >= free + longest then
    level = 0
  end
  -- A clock that stepped back makes no ban longer than the longest.
  return count, ends, level, free, math.max(math.min(free - now, longest), 0)
end

-- What a subject is told that is banned for so long (us), where its limit says this.
local function banned_answer(answer, left, fresh)
  local retry = answer[3] < 0 and -1 or math.max(answer[3], left)
  return { 0, 0, retry, math.max(answer[4], left), left, fresh }
end
