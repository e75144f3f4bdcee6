-- What `provium` is while tests are only listed: whatever the file's chunk
-- asks of it, it answers with itself, and nothing happens.
local inert = {}
local meta = {}

local function itself()
  return inert
end

for _, event in ipairs({ "index", "call", "add", "sub", "mul", "div", "mod",
  "pow", "unm", "concat" }) do
  meta["__" .. event] = itself
end
function meta.__newindex() end
function meta.__tostring() return "provium" end
function meta.__lt() return false end
function meta.__le() return true end

return setmetatable(inert, meta)
