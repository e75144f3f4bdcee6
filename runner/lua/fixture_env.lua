-- While a fixture is built, what it reads by Lua's own means is noted too. core
-- is what C provides: used_file(path), used_env(name).
local core = ...

local function noting(fn)
  return function(path, ...)
    if type(path) == "string" then core.used_file(path) end
    return fn(path, ...)
  end
end

io.lines = noting(io.lines)
loadfile = noting(loadfile)
dofile = noting(dofile)

local open, getenv = io.open, os.getenv

function io.open(path, mode)
  local file, err, code = open(path, mode)
  if type(path) == "string" and not tostring(mode or "r"):find("^[wa]") then
    core.used_file(path)
  end
  return file, err, code
end

function os.getenv(name)
  core.used_env(tostring(name))
  return getenv(name)
end

return true
