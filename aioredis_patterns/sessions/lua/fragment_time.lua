-- Time: the server's, in whole microseconds, and one for all that a call decides.

local asked_us

local function server_us()
  if not asked_us then
    local time = redis.call('TIME')
    asked_us = time[1] * 1000000 + time[2]
  end
  return asked_us
end
