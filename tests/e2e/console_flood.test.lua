-- A guest that prints without end costs its log's disk space and nothing else.
provium.timeout = 300

local connect = require("unix_client")

local MIB = 1024 * 1024

local function resident()
  local f = assert(io.open("/proc/self/status"))
  local kib = f:read("*a"):match("VmRSS:%s+(%d+) kB")
  f:close()
  return tonumber(kib) * 1024
end

-- Bytes in the console log: that is a file beside the socket.
local function log_size(vm)
  local dir = vm:console_socket_path():match("^(.*)/")
  local f = assert(io.open(("%s/%s.console"):format(dir, vm:name())))
  local n = f:seek("end")
  f:close()
  return n
end

test("calls go on during a flood, in bounded memory", function(t)
    local vm = provium:vm("flood"):boot()
    local unread = vm:console():read()
    local stuck = assert(connect(vm:console_socket_path()))
    vm:stat("/")
    collectgarbage()
    local before = resident()
    local p = vm:run_async("yes 'a line of some length, again and again' " ..
      ">/dev/ttyS0")
    local start = log_size(vm)
    local n = 0
    repeat
      t:assert_eq(vm:stat("/etc").entry_type, "directory")
      n = n + 1
    until log_size(vm) - start > MIB
    t:assert(vm:run("echo alive"):ok())
    -- One that searches what has piled up, and one that waits for more.
    provium.all(
      function() unread:expect("again and again\r\na line", 60) end,
      function() vm:console():expect("again and again", 60) end,
      function() vm:write_file("/tmp/x", ("x"):rep(MIB)) end)
    p:kill()
    p:wait(60)
    t:log(("%d stats; grown by %d KiB"):format(n,
      (resident() - before) / 1024))
    collectgarbage()
    t:assert(resident() - before < 24 * MIB, resident() - before)
    t:assert(not stuck:poll().eof)
    stuck:close()
  end)

test("a flood of kernel messages is no different", function(t)
    local vm = provium:vm("kernel"):boot()
    local unread = vm:console():read()
    vm:run("echo on >/proc/sys/kernel/printk_devkmsg", { check = true })
    local p = vm:run_async("while :; do echo '<3>flooded' >/dev/kmsg; done")
    vm:console():expect("flooded", 60)
    for _ = 1, 50 do
      t:assert_eq(vm:stat("/etc").entry_type, "directory")
    end
    p:kill()
    unread:expect("flooded", 60)
  end)
