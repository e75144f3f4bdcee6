-- Boots BENCH_COUNT small guests at once; prints how long that took until all
-- have answered, and what memory provium takes then: the run, this worker, and
-- what they have started, without QEMU.
local now = require("clock")

local out = assert(io.open(os.getenv("BENCH_OUT"), "w"))

local function read(path)
  local f = io.open(path)
  local text = f and f:read("*a") or ""
  if f then f:close() end
  return text
end

-- KiB of a process and its children, in a field of smaps_rollup.
local function memory(pid, field)
  local here = "/proc/" .. pid
  if read(here .. "/comm"):find("^qemu") then return 0 end
  local sum = tonumber(read(here .. "/smaps_rollup"):match(field .. ": +(%d+)"))
  assert(sum, here .. "/smaps_rollup: no " .. field)
  for child in read(here .. "/task/" .. pid .. "/children"):gmatch("%d+") do
    sum = sum + memory(child, field)
  end
  return sum
end

test("many guests", {timeout = "300s"}, function(t)
  local count = tonumber(os.getenv("BENCH_COUNT"))
  local vms = {}
  for i = 1, count do
    vms[i] = provium:vm("vm" .. i, {memory = "96M", agent_timeout = 280})
  end
  local start = now()
  provium:boot()
  for _, vm in ipairs(vms) do vm:stat("/") end
  out:write(("boot %.6f\n"):format(now() - start))
  local run = read("/proc/self/stat"):match("^%d+ %b() %a (%d+)")
  out:write(("pss %d\nrss %d\n"):format(memory(run, "\nPss"),
    memory(run, "\nRss")))
  out:close()
end)
