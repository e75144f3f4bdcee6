-- vm:console_socket_path(): the console for other programs.
provium.timeout = 300

local connect = require("unix_client")

local vm = provium:vm("sock"):boot()

test("the path is private and exists", function(t)
  local path = vm:console_socket_path()
  t:assert(#path < 108, path)
  local p = io.popen("stat -c '%F %a' '" .. path .. "'")
  t:assert_eq(p:read("*a"), "socket 600\n")
  p:close()
  t:assert_contains(t:assert_raises(function()
    provium:vm("unborn"):console_socket_path()
  end), "vm:console_socket_path: VM 'unborn' is created: call vm:boot() first")
end)

test("any number may read what comes from their connection on", function(t)
  vm:run("echo before >/dev/ttyS0", { check = true })
  vm:console():expect("before")
  local clients = {}
  for i = 1, 20 do
    clients[i] = assert(connect(vm:console_socket_path()))
  end
  vm:run("echo for all >/dev/ttyS0", { check = true })
  for _, c in ipairs(clients) do
    c:wait_for("for all\r\n")
    t:assert(not c.got:find("before", 1, true), c.got)
    c:close()
  end
end)

test("what clients write reaches the guest's console", function(t)
  local a = assert(connect(vm:console_socket_path()))
  local b = assert(connect(vm:console_socket_path()))
  local p = vm:run_async("exec 3</dev/ttyS0; echo ready; read x <&3; " ..
    "echo $x; read x <&3; echo $x; read x <&3; echo $x")
  local out = p:stdout_stream()
  out:expect("ready\n", 60)
  a:send("from a\n")
  t:assert_eq(out:read_until("\n", 60), "from a\n")
  b:send("from b\n")
  t:assert_eq(out:read_until("\n", 60), "from b\n")
  vm:console():write("from the test\n")
  t:assert_eq(out:read_until("\n", 60), "from the test\n")
  a:close()
  b:close()
end)

test("a program such as socat talks to it", function(t)
  local dir = t:tmpdir()
  local p = vm:run_async("exec 3</dev/ttyS0; echo ready; read x <&3; " ..
    "echo \"got $x\" >/dev/ttyS0")
  p:stdout_stream():expect("ready\n", 60)
  -- Its input ends at once; what it still gets is waited for (-t).
  os.execute(("echo hello | timeout 90 socat -t 60 - UNIX-CONNECT:%s " ..
    ">%s/out &"):format(vm:console_socket_path(), dir))
  wait_until(function()
    local f = io.open(dir .. "/out")
    local text = f and f:read("*a") or ""
    if f then f:close() end
    return text:find("got hello\r\n", 1, true)
  end, { timeout = 60, desc = "socat's output" })
end)

test("a client that never reads delays nobody", function(t)
  local stuck = assert(connect(vm:console_socket_path()))
  local quick = assert(connect(vm:console_socket_path()))
  -- More than a socket holds.
  local p = vm:run_async("i=0; while [ $i -lt 8000 ]; do " ..
    "echo 0123456789012345678901234567890123456789012345678; " ..
    "i=$((i+1)); done >/dev/ttyS0; echo the end >/dev/ttyS0")
  quick:wait_for("the end\r\n")
  t:assert(p:wait(60):ok())
  t:assert(vm:run("true"):ok())
  stuck:wait_for("the end\r\n")
  t:assert_eq(stuck.got, quick.got)
  stuck:close()
  quick:close()
end)

test("clients survive a reset, and end with the guest", function(t)
  local c = assert(connect(vm:console_socket_path()))
  vm:reset()
  c:wait_for("Linux version")
  t:assert(not c.eof)
  vm:shutdown()
  c:wait_eof()
  t:assert_contains(c.got, "reboot: Power down")
  c:close()
  -- Nobody is there now: the end comes at once.
  local late = assert(connect(vm:console_socket_path()))
  late:wait_eof()
  t:assert_eq(late.got, "")
  late:close()
  vm:boot()
  c = assert(connect(vm:console_socket_path()))
  vm:run("echo again >/dev/ttyS0")
  c:wait_for("again\r\n")
  c:close()
end)

test("clients connect while the guest boots", { timeout = 600 }, function(t)
  local other = provium:vm("early")
  local c
  provium.all(function() other:boot() end, function()
    -- A boot may wait for its turn: until then there is no console.
    wait_until(function() return other:state() ~= "created" end,
      { timeout = 500, interval = 0.01 })
    c = assert(connect(other:console_socket_path()))
  end)
  c:wait_for("Linux version")
  t:assert_eq(c.got:sub(1, 7), "[    0.")
  other:close()
  t:assert(c:poll().eof)
  c:close()
end)

test("a guest's death is the end, and so is close", function(t)
  local other = provium:vm("mortal"):boot()
  local path = other:console_socket_path()
  local c = assert(connect(path))
  other:run("true")
  os.execute("kill -9 " .. other:pid())
  t:assert_raises(function() other:run("sleep 60") end)
  c:wait_eof()
  c:close()
  other:close()
  t:assert_eq(connect(path), nil)
  t:assert_eq(io.open(path), nil)
end)
