-- Limits whose own scripts are called by another one, in which they are the functions of the table `calls`.

-- What the script for this of a limit's kind answers; told are the kind and what all its scripts are told first.
-- Charged is '1' where a denied hit counts too.
local function ask(calls, verb, states, told, cost, charged)
  local kind, rest = string.match(told, '^(%S+) (.*)$')
  local arguments = {}
  for argument in string.gmatch(rest, '%S+') do
    arguments[#arguments + 1] = argument
  end
  arguments[#arguments + 1] = cost
  arguments[#arguments + 1] = charged
  return calls[kind .. verb](states, arguments)
end

-- The parts of a composite: the states of each, what its scripts are told, and the cost.
local function read_parts(keys, told)
  local parts, from = {}, 1
  for i = 1, #told, 3 do
    local size = tonumber(told[i])
    local states = { unpack(keys, from, from + size - 1) }
    parts[#parts + 1] = { states = states, told = told[i + 1], cost = told[i + 2] }
    from = from + size
  end
  return parts
end

-- Gives a state that lost its expiry one again.
local function mend(state, reset)
  if redis.call('PTTL', state) == -1 then
    redis.call('PEXPIRE', state, string.format('%.0f', math.floor(reset / 1000) + 2))
  end
end

-- All answers in one row.
local function flat(answers)
  local row = {}
  for _, answer in ipairs(answers) do
    for _, value in ipairs(answer) do
      row[#row + 1] = value
    end
  end
  return row
end
