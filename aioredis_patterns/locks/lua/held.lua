-- Shared: read who holds a lock.

-- The fence of a lock's value when it is this token's, else nil.
local function fence_of(held, token)
  if held and string.sub(held, 1, #token + 1) == token .. ' ' then
    return tonumber(string.match(held, '^(%d+)', #token + 2))
  end
end
