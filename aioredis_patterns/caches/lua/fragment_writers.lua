-- Writers: who writes the store behind a value, as fields of a hash: the token, and when its lease ends, us.
-- As long as any two of them are at work at one time nobody knows whose write the store kept: the field '+' says so.

local CROSSED = '+'

-- Whether nobody else is at work; those whose lease has ended are dropped.
local function is_alone(writers, token)
  local alone = true
  local fields = redis.call('HGETALL', writers)
  for at = 1, #fields, 2 do
    local each, until_us = fields[at], tonumber(fields[at + 1])
    if each ~= token and each ~= CROSSED then
      if until_us > server_us() then
        alone = false
      else
        redis.call('HDEL', writers, each)
      end
    end
  end
  return alone
end
