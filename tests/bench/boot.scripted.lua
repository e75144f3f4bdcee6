-- Boots one guest several times; prints each time and the QEMU command line,
-- for bench.py to put the floor beside it.
local now = require("clock")

local out = assert(io.open(os.getenv("BENCH_OUT"), "w"))

test("boot", {timeout = "300s"}, function(t)
  for i = 1, tonumber(os.getenv("BENCH_ROUNDS")) do
    local vm = provium:vm("boot" .. i)
    local start = now()
    vm:boot()
    vm:stat("/")
    out:write(("boot %.6f\n"):format(now() - start))
    if i == 1 then
      local f = assert(io.open("/proc/" .. vm:pid() .. "/cmdline"))
      out:write("argv ", f:read("*a"):gsub("%z", "\n"):gsub("\n", "\31"), "\n")
      f:close()
    end
    vm:close()
  end
  out:close()
end)
