-- Round trips of the agent, and of a bare echo over a port of a second
-- device of the same kind in the same guest.
local now = require("clock")

local function now_us()
  return now() * 1e6
end

local out = assert(io.open(os.getenv("BENCH_OUT"), "w"))
local rounds = tonumber(os.getenv("BENCH_ROUNDS"))

local function measure(name, fn, rounds)
  local took = {}
  for i = 1, rounds do
    local start = now_us()
    fn()
    took[i] = now_us() - start
  end
  table.sort(took)
  out:write(("%s %.1f %.1f\n"):format(name, took[math.ceil(rounds / 2)],
    took[math.ceil(rounds * 0.99)]))
end

test("round trips", {timeout = "300s"}, function(t)
  local path = os.getenv("BENCH_OUT") .. ".echo"
  local vm = provium:vm("rtt"):boot({qemu_args = {
    "-chardev", "socket,id=bench,server=on,wait=off,path=" .. path,
    "-device", "virtio-serial-pci,id=bench",
    "-device", "virtserialport,bus=bench.0,chardev=bench,name=bench.0"}})
  -- A read while nobody is connected ends cat; a write waits for somebody.
  vm:run_async([[
    for d in /sys/class/virtio-ports/*; do
      [ "$(cat $d/name)" = bench.0 ] && exec 3<>/dev/${d##*/}
    done
    echo ready >&3
    exec cat <&3 >&3]])
  local p = assert(io.popen(os.getenv("BENCH_ECHO") .. " " .. path .. " " ..
    rounds))
  out:write("echo ", p:read("*a"))
  p:close()
  measure("stat", function() vm:stat("/") end, rounds)
  measure("syscall", function() vm:syscall(39) end, rounds)
  measure("run", function() vm:run({"true"}) end, math.ceil(rounds / 10))
  out:close()
end)
