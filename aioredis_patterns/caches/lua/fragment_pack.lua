-- Packing: builds an entry, with the header that fragment_state.lua describes.

local function pack(codec, generation, ttl_ms, life_ms, load_us, tags, body)
  local time = redis.call('TIME')
  local now_us = time[1] * 1000000 + time[2]
  local plain = tags == '' and ttl_ms == life_ms
  local times = string.format('%016.0f%016.0f%010.0f', now_us, now_us + ttl_ms * 1000, load_us)
  return table.concat({
    '1', plain and '0' or '1', codec, generation, times, string.format('%04d', #tags), tags, body,
  })
end
