-- Has functions that are written in Lua refuse surplus arguments, which Lua
-- drops. surplus(name, max, ...) raises unless those behind the last are nil.
local surplus = ...
local getinfo = debug.getinfo
local M = { surplus = surplus }

-- name: as messages say it, "vm:boot"; max: with the object.
function M.limit(fn, name, max)
  return function(...)
    if select("#", ...) > max then
      surplus(name, max, ...)
    end
    return fn(...)
  end
end

-- A number of parameters, the object among them; nil: any.
function M.count(fn)
  local info = getinfo(fn, "u")
  if not info.isvararg then
    return info.nparams
  end
end

-- All of a table, each to its parameters. One with `...` takes any number; so
-- do the wrappers of this file and of settle.lua, which check by themselves.
function M.limit_all(methods, prefix)
  for name, fn in pairs(methods) do
    local max = M.count(fn)
    if max then
      methods[name] = M.limit(fn, prefix .. name, max)
    end
  end
end

return M
