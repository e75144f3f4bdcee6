-- Guests that end or restart by themselves: an init kills every process, the
-- agent among them, some time before the machine ends or starts again.
provium.timeout = "4m"

local function until_state(vm, state)
  wait_until(function() return vm:state() == state end,
             { timeout = 180, desc = "VM " .. vm:name() .. " being " .. state })
end

-- Kills every process but the shell, waits, and does the last command.
local function kill_all_then(last)
  return "trap '' TERM; kill -TERM -1; sleep 3; " .. last
end

-- A booted VM of that name, on a bridge of its own.
local function boot_on_bridge(name)
  local vm = provium:vm(name)
  provium:bridge("lan-" .. name):attach(vm)
  return vm:boot()
end

test("a guest powers off after its processes ended", function(t)
  local vm = provium:vm("a"):boot()
  vm:run("echo last words >/dev/kmsg", { check = true })
  local err = tostring(t:assert_raises(function()
    vm:run(kill_all_then("poweroff -f"))
  end))
  t:assert_contains(err, "VM a lost its agent: the agent in the guest ended")
  t:assert_contains(err, "the console ends:")
  t:assert_contains(err, "last words")
  t:assert_contains(tostring(t:assert_raises(function() vm:stat("/") end)),
                    "VM a lost its agent")
  until_state(vm, "shutdown")
  vm:boot()
  t:assert_eq(vm:run("echo again").stdout, "again\n")
end)

test("a guest restarts after its processes ended", function(t)
  local vm = boot_on_bridge("b")
  local address = vm:run("ip -4 -o addr show eth0").stdout
  t:assert_contains(address, "inet ")
  pcall(vm.run, vm, kill_all_then("reboot -f"))
  until_state(vm, "booting")
  -- The first call after it finds the guest as a boot leaves it.
  t:assert_eq(vm:run("ip -4 -o addr show eth0").stdout, address)
  t:assert_eq(vm:state(), "booted")
  t:assert_eq(vm:run("hostname").stdout, "b\n")
end)

test("calls wait while a guest restarts", function(t)
  local vm = boot_on_bridge("c")
  vm:write_file("/tmp/gone", "x")
  pcall(vm.run, vm, "echo b >/proc/sysrq-trigger; sleep 100")
  until_state(vm, "booting")
  local content = ("wait"):rep(100000)
  local answers = { provium.all(
    function() vm:write_file("/tmp/new", content) return "written" end,
    function() return vm:run("hostname; ip -4 -o addr show eth0").stdout end,
    function() return vm:run("true", { timeout = 0.01 }).timed_out end,
    function() return select(2, pcall(vm.stat, vm, "/tmp/gone")) end
  ) }
  t:assert_eq(answers[3], true)
  t:assert_eq(answers[1], "written")
  t:assert_match(answers[2], "^c\n.*inet ")
  t:assert_contains(tostring(answers[4]), "No such file")
  t:assert_eq(vm:read_file("/tmp/new"), content)
end)

-- busybox's own init is the guest's process 1, as in an image.
for _, how in ipairs({
  { command = "poweroff", state = "shutdown" },
  { command = "halt", state = "booted", says = "System halted" },
  { command = "reboot", state = "booting" },
}) do
  test("an init is told: " .. how.command, function(t)
    local vm = provium:vm(how.command, { files = {
      { path = "/init", mode = 493,
        content = "#!/bin/sh\nexec /bin/busybox init\n" },
      { path = "/etc/inittab", content =
        "::sysinit:/bin/mount -t proc proc /proc\n" ..
        "::shutdown:/bin/echo the init ends\n" },
    } }):boot()
    local log = vm:console()
    wait_until(function()
      return vm:run("cat /proc/1/comm").stdout == "busybox\n"
    end)
    pcall(vm.run, vm, how.command .. "; sleep 100")
    until_state(vm, how.state)
    if how.says then
      log:expect(how.says, 60)
      t:assert_contains(tostring(t:assert_raises(function() vm:run("true") end)),
                        "lost its agent")
      vm:reset()
    elseif how.state == "shutdown" then
      vm:boot()
    end
    t:assert_eq(vm:run("echo it is up").stdout, "it is up\n")
  end)
end

test("a guest whose agent ended can be reset", function(t)
  local vm = provium:vm("d"):boot()
  pcall(vm.run, vm, "kill -9 $PPID; sleep 100")
  t:assert_contains(tostring(t:assert_raises(function() vm:run("true") end)),
                    "VM d lost its agent")
  t:assert_eq(vm:state(), "booted")
  vm:reset()
  t:assert_eq(vm:run("echo back").stdout, "back\n")
end)
