-- Shared: let the message be claimed that was put while the one like it was handled, now that this has ended.

-- What was put is its id and the time from which it may be claimed (us).
local function run_again(ready, delayed, messages, index, waiters, order, now, put)
  if not put then return end
  local id, due = string.match(put, '^(%S+) (%d+)$')
  local message = read(messages, id)
  if tonumber(due) > now then
    redis.call('ZADD', delayed, due, id)
  else
    push_back(ready, index, id, message.priority, order, now, message.group)
  end
  wake(ready, waiters)
end
