-- Shared: notes that say in which run of the server they were written: one of another run may be older than it seems.

-- Its id and for how long it lasts (s). A user who may not ask is given no time, and trusts every note.
local function this_run()
  local info = redis.pcall('INFO', 'server')
  if type(info) ~= 'string' then return '-' end
  return string.match(info, 'run_id:(%w+)'), tonumber(string.match(info, 'uptime_in_seconds:(%d+)'))
end

-- The number of a note, if there is one, and its run.
local function read_note(note)
  if note then return tonumber(string.match(note, '^%d+')), string.match(note, ' (%S+)$') end
end
