-- Boots, snapshots and restores one guest of BENCH_MEMORY, in turn; prints each
-- time to the first answer, and QEMU's command line for bench.py.
local now = require("clock")

local out = assert(io.open(os.getenv("BENCH_OUT"), "w"))
local memory = os.getenv("BENCH_MEMORY")
local dir = os.getenv("BENCH_DIR")

local function timed(name, fn)
  local start = now()
  fn()
  out:write(("%s %.6f\n"):format(name, now() - start))
end

test("snapshot", {timeout = "900s"}, function(t)
  local source = provium:vm("source", {memory = memory}):boot()
  local f = assert(io.open("/proc/" .. source:pid() .. "/cmdline"))
  out:write("argv ", f:read("*a"):gsub("%z", "\n"):gsub("\n", "\31"), "\n")
  f:close()
  local base = source:snapshot(dir)
  out:write("size ", base:size(), "\n")
  local vm = provium:vm("restored")
  vm:restore(base) -- its hash is checked the first time
  for i = 1, tonumber(os.getenv("BENCH_ROUNDS")) do
    local cold = provium:vm("cold" .. i, {memory = memory})
    timed("boot", function() cold:boot() cold:stat("/") end)
    cold:close()
    timed("restore", function() vm:restore(base) vm:stat("/") end)
    timed("snapshot", function() source:snapshot() end)
    local s
    timed("delta", function() s = vm:snapshot() end)
    out:write("delta_size ", s:size(), "\n")
    s:delete()
  end
  out:close()
end)
