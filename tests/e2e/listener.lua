-- Servers of a guest, as tests wait for them.
local M = {}

-- Waits until the guest listens on the port, over IPv4 or IPv6.
function M.await(vm, port)
  wait_until(function()
    return vm:run("cat /proc/net/tcp*").stdout:find((":%04X "):format(port),
      1, true)
  end, { timeout = 60, desc = "a listener on port " .. port })
end

return M
