-- What a machine's own buttons and sleep states do.
local function until_state(vm, state)
  wait_until(function()
    return vm:state() == state
  end, { timeout = 60, desc = "VM " .. vm:name() .. " being " .. state })
end

test("the power button turns the default guest off", function(t)
  local vm = provium:vm("a"):boot()
  local p = vm:run_async("sleep 600")
  vm:power_button()
  until_state(vm, "shutdown")
  t:assert_contains(vm:console():read_log(), "reboot: Power down")
  t:assert_raises(function() p:wait(10) end)
  -- It is as after a shutdown.
  vm:boot()
  t:assert_eq(vm:run("echo again").stdout, "again\n")
end)

test("an image's own init decides what the button means", function(t)
  local vm = provium:vm("b", { files = { { path = "/init", mode = 493,
    content = "#!/bin/sh\nexec sleep 100000\n" } } }):boot()
  vm:power_button()
  t:assert_eq(vm:run("echo still here").stdout, "still here\n")
  t:assert_eq(vm:state(), "booted")
end)

-- Starts `echo mem`, and waits until the guest sleeps.
local function suspend(vm)
  local p = vm:run_async("echo mem > /sys/power/state && echo awake")
  until_state(vm, "suspended")
  return p
end

test("a guest suspends to RAM and wakes up with all that it had", function(t)
  local vm = provium:vm("s1", { suspend = true }):boot()
  vm:write_file("/tmp/kept", "in memory")
  local file = vm:open_file("/tmp/kept", { read = true })
  local cat = vm:run_async("exec cat")
  local out = cat:stdout_stream()
  cat:stdin_write("before\n")
  t:assert_eq(out:read_until("before\n"), "before\n")
  local log = vm:console():read()

  local p = suspend(vm)
  vm:wakeup()
  t:assert_eq(vm:state(), "booted")
  t:assert_eq(p:wait().stdout, "awake\n")
  log:read_until("Waking up from system sleep state S3")

  t:assert_eq(file:read(100), "in memory")
  cat:stdin_write("after\n")
  t:assert_eq(out:read_until("after\n"), "after\n")
  cat:close_stdin()
  t:assert_eq(cat:wait().exit_code, 0)
  t:assert_eq(vm:run("cat /tmp/kept").stdout, "in memory")
  -- Again, and asked for before the guest sleeps.
  p = vm:run_async("sleep 0.2; echo mem > /sys/power/state && echo again")
  vm:wakeup()
  t:assert_eq(p:wait().stdout, "again\n")
end)

test("a guest may wake up by its own clock", function(t)
  local vm = provium:vm("s2", { suspend = true }):boot()
  local p = vm:run_async("echo +2 > /sys/class/rtc/rtc0/wakealarm; " ..
    "echo mem > /sys/power/state && echo awake")
  until_state(vm, "suspended")
  until_state(vm, "booted")
  t:assert_eq(p:wait().stdout, "awake\n")
end)

test("what is asked of a sleeping guest says that it sleeps", function(t)
  local vm = provium:vm("s3", { suspend = true }):boot()
  suspend(vm)
  for _, method in ipairs({ "pause", "resume", "reset", "power_button",
    "boot" }) do
    t:assert_match(t:assert_raises(function() vm[method](vm) end),
      "power.test.lua:%d+: vm:" .. method ..
      ": VM 's3' is suspended: call vm:wakeup%(%) first")
  end
  t:assert_contains(t:assert_raises(function() vm:run("true") end),
    "vm:run: VM 's3' is suspended: call vm:wakeup() first")
  -- It is woken up to be shut down.
  vm:shutdown()
  t:assert_contains(vm:console():read_log(), "reboot: Power down")
  vm:boot()
  t:assert_eq(vm:run("echo again").stdout, "again\n")
end)

test("a NIC works on after a suspend", function(t)
  local net = provium:bridge("net")
  local a = provium:vm("n1", { suspend = true })
  local b = provium:vm("n2")
  net:attach({ a, b })
  provium:boot()
  local to = net:nic(a):ip()
  t:assert_eq(b:run("ping -c 1 -W 10 " .. to).exit_code, 0)
  suspend(a)
  a:wakeup()
  t:assert_eq(b:run("ping -c 1 -W 10 " .. to).exit_code, 0)
end)

test("a wakeup that waits for the guest to sleep can be given up", function(t)
  local vm = provium:vm("s4", { suspend = true }):boot()
  local e
  provium.race(function()
    e = t:assert_raises(function() vm:wakeup() end)
  end, function()
    vm:run("sleep 0.5")
  end)
  t:assert_eq(e, nil) -- it was cancelled, it did not end
  t:assert_eq(vm:run("echo awake").stdout, "awake\n")
end)

test("a guest that is not made for it cannot be woken up", function(t)
  local vm = provium:vm("c"):boot()
  local e = t:assert_raises(function() vm:wakeup() end)
  t:assert_match(e, "power.test.lua:%d+: vm:wakeup: VM c cannot be " ..
    "suspended: boot it with suspend = true")
  t:assert_eq(vm:run("echo awake").stdout, "awake\n")
  -- If it suspends all the same, that is what it died of.
  local p = vm:run_async("echo mem > /sys/power/state")
  e = t:assert_raises(function() p:wait(60) end)
  t:assert_contains(e, "the guest suspended to RAM, and could not wake up: " ..
    "boot it with suspend = true")
  t:assert_eq(vm:state(), "dead")
end)

test("neither is for a VM that is off", function(t)
  local vm = provium:vm("off")
  for _, method in ipairs({ "power_button", "wakeup" }) do
    t:assert_match(t:assert_raises(function() vm[method](vm) end),
      "power.test.lua:%d+: vm:" .. method .. ": VM 'off' is created[^\n]*boot")
  end
  vm:boot()
  vm:pause()
  t:assert_contains(t:assert_raises(function() vm:power_button() end),
    "vm:resume()")
end)
