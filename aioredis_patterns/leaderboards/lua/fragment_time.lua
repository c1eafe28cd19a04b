-- Time: the server's, in whole microseconds, and the same for all that one call decides.

local moment
local function server_us()
  if not moment then
    local time = redis.call('TIME')
    moment = time[1] * 1000000 + time[2]
  end
  return moment
end
