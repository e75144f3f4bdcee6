-- The iterator of s:lines(t): true, that errors say so.
local stream, timeout = ...

return function()
  return stream:next_line(timeout, true)
end
