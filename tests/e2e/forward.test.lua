-- vm:forward(): TCP ports of a guest on the host's loopback. The other end is
-- socat or Python, programs of the host.
local await_listener = require("listener").await

local vm = provium:vm("a"):boot()

-- Runs a command of the host and gives what it says. Bytes are carried while
-- the test waits for something of provium's, so it is not waited for here.
local function host(t, command)
  local path = ("%s/out%d"):format(t:tmpdir(), os.time())
  os.execute(("(%s; echo status $?) > %s.part 2>&1 && mv %s.part %s &"):format(
    command, path, path, path))
  local f = wait_until(function()
    return io.open(path)
  end, { timeout = 60, desc = command })
  local out = f:read("*a")
  f:close()
  os.remove(path)
  return out
end

-- What befalls somebody who connects and waits for a byte.
local function befalls(t, address)
  return host(t, ("python3 -c \"import socket; "
    .. "print(socket.create_connection(('127.0.0.1', %s)).recv(1))\"")
    :format(address:match("%d+$")))
end

test("a port of a guest without a network is reached", function(t)
  local server = vm:run_async("nc -l -p 7001 | wc -c")
  await_listener(vm, 7001)
  local address = vm:forward(7001)
  t:assert_match(address, "^127%.0%.0%.1:%d+$")
  t:assert_eq(host(t, "head -c 1000000 /dev/zero | socat -u - TCP:" .. address),
    "status 0\n")
  t:assert_eq(server:wait(60).stdout, "1000000\n")
end)

test("an answer comes back after the question has ended", function(t)
  vm:write_file("/tmp/answer", ("answer\n"):rep(1000))
  vm:write_file("/tmp/serve", "cat >/dev/null; cat /tmp/answer")
  -- Not `nc < /tmp/answer`, which goes when it hears the end of the question.
  local server = vm:run_async("nc -l -p 7002 -e /bin/sh /tmp/serve")
  await_listener(vm, 7002)
  local out = host(t, "socat -t 60 - TCP:" .. vm:forward(7002) .. " < /dev/null")
  t:assert_eq(out, ("answer\n"):rep(1000) .. "status 0\n")
  server:wait(60)
end)

test("who is refused in the guest is reset", function(t)
  t:assert_contains(befalls(t, vm:forward(7003)), "ConnectionResetError")
end)

test("the same port is the same, another is another", function(t)
  t:assert_eq(vm:forward(7004), vm:forward(7004))
  t:assert_neq(vm:forward(7004), vm:forward(7005))
end)

test("a forward goes to the guest that runs, and ends with its VM",
  function(t)
    local b = provium:vm("b"):boot()
    local address = b:forward(7006)
    b:reset()
    local server = b:run_async("nc -l -p 7006")
    wait_until(function()
      return b:run("cat /proc/net/tcp*").stdout:find((":%04X "):format(7006),
        1, true)
    end, { timeout = 60 })
    t:assert_eq(host(t, "echo hello | socat -u - TCP:" .. address),
      "status 0\n")
    t:assert_eq(server:wait(60).stdout, "hello\n")
    b:shutdown()
    t:assert_contains(befalls(t, address), "ConnectionResetError")
    b:close()
    t:assert_contains(befalls(t, address), "ConnectionRefusedError")
  end)

test("what is no port is refused by name", function(t)
  for _, bad in ipairs({ 0, 65536, -1, 1.5, "80" }) do
    t:assert_match(t:assert_raises(function()
      vm:forward(bad)
    end), "forward.test.lua:%d+: vm:forward: port must be ")
  end
  local off = provium:vm("off")
  t:assert_contains(t:assert_raises(function()
    off:forward(80)
  end), "off")
end)
