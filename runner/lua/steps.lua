-- The iterator of s:lines(t) and of cap:packets(t): each step is a call of its
-- own.
local stream, timeout, step = ...

return function()
  return step(stream, timeout)
end
