-- Shared: what has become claimable by the passing of time, a hundred at a time.

-- The one whose lease ended first is pushed last, and so is first again.
local function recover(ready, delayed, leased, dead, messages, index, waiters, order, most, now)
  local tokens = redis.call('ZRANGEBYSCORE', leased, '-inf', now, 'LIMIT', 0, 100)
  for at = #tokens, 1, -1 do
    local hold = held(index, tokens[at])
    let_go(leased, index, tokens[at])
    local message = hold and read(messages, hold.id)
    if message and hold.attempt >= most then
      local put = bury(dead, index, hold.id, message.dedup, LEASE_ENDED, now)
      run_again(ready, delayed, messages, index, waiters, order, now, put)
    elseif message then
      push_front(ready, hold.id, hold.rank)
    end
  end
end

local function promote(ready, delayed, messages, index, order, now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, 100)) do
    redis.call('ZREM', delayed, id)
    local message = read(messages, id)
    if message then push_back(ready, index, id, message.priority, order, now, message.group) end
  end
end

local function next_due(delayed, leased, now)
  local first
  for _, set in ipairs({
    redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES'),
    redis.call('ZRANGE', leased, 0, 0, 'WITHSCORES'),
  }) do
    local due = tonumber(set[2])
    if due and (not first or due < first) then first = due end
  end
  return first and math.max(math.ceil((first - now) / 1000), 0) or -1
end
