-- Packing: builds an entry, with the header that fragment_state.lua describes.

local function pack(codec, generation, ttl_ms, life_ms, load_us, names, body)
  local now_us = server_us()
  local kind = ttl_ms < life_ms and 's' or names ~= '' and 't' or 'p'
  local times = string.format('%016.0f%016.0f%010.0f', now_us, now_us + ttl_ms * 1000, math.min(load_us, 9999999999))
  return table.concat({ '1', kind, codec, generation, times, string.format('%04d', #names), names, body })
end
