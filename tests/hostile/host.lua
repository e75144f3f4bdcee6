-- The host, as tests of guests that mean harm measure it.
local M = {}

local function read(path)
  local f = assert(io.open(path))
  local text = f:read("*a")
  f:close()
  return text
end

-- Seconds since the host booted.
function M.now()
  return tonumber(read("/proc/uptime"):match("^[%d.]+"))
end

-- A size of this worker in MiB: key is "VmRSS", or "VmHWM" for its peak.
function M.worker_mib(key)
  local kib = read("/proc/self/status"):match(key .. ":%s+(%d+) kB")
  return tonumber(kib) / 1024
end

function M.peak_mib()
  return M.worker_mib("VmHWM")
end

return M
