-- The iterator of s:lines(t).
local stream, timeout = ...

return function()
  return stream:next_line(timeout)
end
