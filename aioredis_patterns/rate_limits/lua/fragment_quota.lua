-- Quotas: the string 'used start stop', the units used and reserved, and the calendar's period (us) they count for.
-- Beside it stands what is reserved, 'cost id' by the time (us) when its lease ends; a cost of 0 is one that was
-- settled. No string is nothing used, and nothing reserved.

local LONGEST = 64 * 86400 * 1000000

-- The units used, the period they count for, and the reservations whose callers are gone; nil where nothing is stored.
local function read_quota(quota, reserved, now, start, stop)
  local used, from, to = string.match(redis.call('GET', quota) or '', '^(%d+) (%d+) (%d+)$')
  used, from, to = tonumber(used), tonumber(from), tonumber(to)
  if not to or used > 2 ^ 53 or to <= now or to - now > LONGEST then
    return 0, start, stop, nil
  end
  local gone = redis.call('ZRANGE', reserved, '-inf', string.format('%.0f', now), 'BYSCORE', 'LIMIT', 0, 1000)
  for _, reservation in ipairs(gone) do
    used = used - (tonumber(string.match(reservation, '^%d+')) or 0)
  end
  if from <= now then
    -- A period that is another's since the quota changed ends with the shorter one.
    from, to = start, math.min(to, stop)
  end
  return math.max(used, 0), from, to, gone
end

-- Stores what is used until the period is over.
local function write_quota(quota, reserved, used, from, to, now, gone)
  if used == 0 or not gone then
    redis.call('DEL', reserved)
  elseif #gone > 0 then
    redis.call('ZREM', reserved, unpack(gone))
  end
  if used == 0 then
    redis.call('DEL', quota)
    return
  end
  local left = string.format('%.0f', math.ceil((to - now) / 1000))
  redis.call('SET', quota, string.format('%.0f %.0f %.0f', used, from, to), 'PX', left)
end
