-- Shared: the server's time in us.

local function clock()
  local now = redis.call('TIME')
  return now[1] * 1000000 + now[2]
end
