-- The iterator of cap:packets(t): true, that errors say so.
local capture, timeout = ...

return function()
  return capture:next_packet(timeout, true)
end
