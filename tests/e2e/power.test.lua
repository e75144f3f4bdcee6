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

test("a guest that does not sleep cannot be woken up", function(t)
  local vm = provium:vm("c"):boot()
  local e = t:assert_raises(function() vm:wakeup() end)
  t:assert_match(e, "power.test.lua:%d+: vm:wakeup: VM c: [^\n]*suspended")
  t:assert_eq(vm:run("echo awake").stdout, "awake\n")
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
