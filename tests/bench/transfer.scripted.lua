-- Files of several sizes, written into a guest and read from it, in turns.
local now = require("clock")

local out = assert(io.open(os.getenv("BENCH_OUT"), "w"))
local rounds = tonumber(os.getenv("BENCH_ROUNDS"))

local function timed(name, mib, fn)
  local start = now()
  fn()
  out:write(("%s %d %.6f\n"):format(name, mib, now() - start))
end

test("transfers", {timeout = "600s"}, function(t)
  local vm = provium:vm("files"):boot({memory = "1G"})
  local mib = assert(io.open("/dev/urandom", "rb")):read(1048576)
  for _ = 1, rounds do
    for size in os.getenv("BENCH_SIZES"):gmatch("%d+") do
      local blob, got = mib:rep(tonumber(size)), nil
      timed("write_file", size, function() vm:write_file("/tmp/f", blob) end)
      timed("read_file", size, function() got = vm:read_file("/tmp/f") end)
      assert(got == blob, "read_file: other bytes than were written")
    end
  end
  out:close()
end)
