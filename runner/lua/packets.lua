-- The iterator of cap:packets(t).
local capture, timeout = ...

return function()
  return capture:next_packet(timeout)
end
