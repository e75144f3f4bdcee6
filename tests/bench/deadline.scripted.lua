-- By how much calls overshoot their deadlines: with one open stream and with
-- 64, silent and busy.
local now = require("clock")
local out = assert(io.open(os.getenv("BENCH_OUT"), "w"))
local rounds = tonumber(os.getenv("BENCH_ROUNDS"))

local function measure(name, s)
  local over = {}
  for i = 1, rounds do
    local start = now()
    s:expect_nothing("10ms")
    over[i] = (now() - start - 0.010) * 1e3
  end
  table.sort(over)
  out:write(("%s %.3f %.3f %.3f\n"):format(name, over[math.ceil(rounds / 2)],
    over[math.ceil(rounds * 0.99)], over[rounds]))
end

test("deadlines", {timeout = "300s"}, function(t)
  local vm = provium:vm("deadline"):boot()
  vm:write_file("/tmp/silent", "")
  local silent = {s = vm:tail_file("/tmp/silent")}
  function silent:expect_nothing(d)
    t:assert_eq(self.s:next(d), nil)
  end
  measure("1", silent)
  local streams = {}
  for i = 1, 63 do
    vm:write_file("/tmp/f" .. i, "")
    streams[i] = vm:tail_file("/tmp/f" .. i)
  end
  measure("64", silent)
  vm:run_async([[while :; do for i in $(seq 63); do
    echo line of text >>/tmp/f$i; done; done]])
  streams[1]:expect("line")
  measure("64-busy", silent)
  out:close()
end)
