-- Shared: what an entry of a log holds.

local function field(fields, name)
  for at = 1, #fields, 2 do
    if fields[at] == name then return fields[at + 1] end
  end
  return ''
end

local function append_entry(list, entry)
  list[#list + 1] = entry[1]
  list[#list + 1] = field(entry[2], 'key')
  list[#list + 1] = field(entry[2], 'headers')
  list[#list + 1] = field(entry[2], 'payload')
end
