-- provium.on_console: what a guest's console must not show.
provium.timeout = 300
provium.on_console = { "BUG:", "KASAN" }

local vm = provium:vm("con"):boot()
local ffi = require("ffi")
ffi.cdef("int getpid(void);")

-- Runs `text` as a test file in a run of its own; its output and exit status.
local function run(t, text)
  local dir = t:tmpdir()
  local f = assert(io.open(dir .. "/x.test.lua", "w"))
  f:write(text)
  f:close()
  local p = assert(io.popen(("cd '%s' && /proc/%d/exe run x.test.lua 2>&1; " ..
    "echo status $?"):format(dir, ffi.C.getpid())))
  local out = p:read("*a")
  p:close()
  return out, tonumber(out:match("status (%d+)\n$"))
end

test("a call in flight fails at once, and the VM lives", function(t)
  local stat, log
  local e = t:assert_raises(function()
    local _, err = pcall(vm.run, vm,
      "echo 'one BUG: x' >/dev/console; sleep 1000")
    t:assert_eq(vm:state(), "booted")
    stat = vm:stat("/dev/console").entry_type
    log = vm:console():read_log()
    error(err, 0)
  end)
  t:assert_match(e, "^[^\n]*console_alarm%.test%.lua:%d+: vm:run: VM con: ")
  t:assert_contains(e, "the console shows `BUG:`: one BUG: x")
  t:assert_eq(stat, "char_device")
  t:assert_contains(log, "one BUG: x\r\n")
end)

test("whatever waits for that guest fails", function(t)
  local waits = {
    ["vm:run"] = function() vm:run("sleep 1000") end,
    ["process:wait"] = function() vm:run_async("sleep 1000"):wait() end,
    ["stream:expect"] = function()
      vm:run_async("sleep 1000"):stdout_stream():expect("x", 1000)
    end,
    ["stream:next"] = function()
      local s = vm:console():read()
      while s:next(1000) do end
    end,
    ["console:expect"] = function()
      vm:console():expect("never printed", 1000)
    end,
    ["worker:run"] = function() vm:spawn_worker():run("sleep 1000") end,
  }
  for name, wait in pairs(waits) do
    local e = t:assert_raises(function()
      provium.all(wait, function()
        vm:run_async("sleep 1; echo 'BUG: for all' >/dev/console")
        vm:run("sleep 1000")
      end)
    end)
    t:assert_contains(e, "the console shows `BUG:`: BUG: for all")
    -- Either of the two is told first; alone, it is this one.
    e = t:assert_raises(function()
      vm:run_async("sleep 1; echo 'BUG: for one' >/dev/console")
      wait()
    end)
    t:assert_contains(e, name .. ": VM con: the console shows")
  end
  t:assert(vm:run("true"):ok())
end)

test("a stream goes on after an alarm", function(t)
  local p = vm:run_async("read x; echo $x; read x; echo $x")
  local s = p:stdout_stream()
  t:assert_raises(function()
    vm:run_async("echo KASAN >/dev/console")
    s:expect("one", 1000)
  end)
  p:stdin_write("one\ntwo\n")
  t:assert_eq(s:read_until("two\n", 60), "one\ntwo\n")
end)

test("the first alarm of a test fails calls, those that follow do not",
  function(t)
    t:assert_raises(function()
      local ok = pcall(vm.run, vm, "echo BUG: 1 >/dev/console; sleep 1000")
      t:assert(not ok)
      vm:run("for i in 2 3 4; do echo BUG: $i >/dev/console; done")
      t:assert_eq(vm:run("sleep 0.5; echo fine").stdout, "fine\n")
      error("seen", 0)
    end)
  end)

test("an alarm while booting fails the boot", function(t)
  local other
  local e = t:assert_raises(function()
    other = provium:vm("other", { kernel_cmdline_append = "word=KASAN" })
    other:boot()
  end)
  t:assert_contains(e, "the console shows `KASAN`: ")
  t:assert_eq(other:state(), "dead")
  t:assert_contains(other:console():read_log(), "word=KASAN")
end)

test("an alarm that a pcall swallows fails the test", function(t)
    local out, status = run(t, [[
provium.on_console = {"BUG:"}
local vm = provium:vm("a"):boot()
test("swallowed", function(t)
  pcall(vm.run, vm, "echo 'BUG: mine' >/dev/ttyS0; sleep 1000")
  t:log("state " .. vm:state() .. " " .. #vm:run("dmesg").stdout)
end)
test("nobody waits", function(t)
  vm:run("echo '<3>BUG: a kernel line' >/dev/kmsg")
end)
test("unharmed", function(t) t:assert(vm:run("true"):ok()) end)
]])
    t:assert_eq(status, 1, out)
    t:assert_contains(out, "1 passed, 2 failed")
    t:assert_contains(out, "the console shows `BUG:`: BUG: mine")
    t:assert_match(out, "state booted %d%d%d+")
    t:assert_match(out, "the console shows `BUG:`: [^\n]*BUG: a kernel line")
  end)

test("a rule excuses lines", function(t)
    local out, status = run(t, [[
provium.on_console = {"BUG:", {"WARNING:", except = {"harmless", "a\tb"}},
  {"taint", except = "no taint"}}
local vm = provium:vm("a"):boot()
local function say(line)
  vm:run({"/bin/sh", "-c", "printf '%s\\n' \"$0\" >/dev/ttyS0", line},
    {check = true})
  vm:console():expect(line .. "\r\n", 60)
end
test("excused", function()
  say("a harmless WARNING: one")
  say("WARNING: a\tb")
  say("there is no taint")
  vm:run("true")
end)
test("not of the other rule", function() say("BUG: harmless") end)
test("not excused", function() say("WARNING: other") end)
test("nor here", function() say("taint") end)
]])
    t:assert_eq(status, 1, out)
    t:assert_contains(out, "1 passed, 3 failed")
    t:assert_contains(out, "the console shows `BUG:`: BUG: harmless")
    t:assert_contains(out, "the console shows `WARNING:`: WARNING: other")
    t:assert_contains(out, "the console shows `taint`: taint")
  end)

test("a rule that says nothing is refused", function(t)
    for bad, why in pairs({
      ["'BUG:'"] = "on_console must be a list of strings and tables",
      ["{5}"] = "on_console[1] must be a string, got a number",
      ["{''}"] = "on_console[1] is empty",
      ["{'a\\0b'}"] = "on_console[1] holds a NUL byte",
      ["{'a', nil, 'b'}"] = "on_console",
      ["{{}}"] = "on_console[1] needs one text",
      ["{{'a', 'b'}}"] = "on_console[1] needs one text",
      ["{{except = 'a'}}"] = "on_console[1] needs one text",
      ["{{1}}"] = "on_console[1][1] must be a string, got a number",
      ["{{'a', unless = 'b'}}"] = "on_console[1] has an unknown key 'unless'",
      ["{{'a', ['except\\0x'] = 'b'}}"] =
        "on_console[1] has an unknown key 'except\\x00x'",
      ["{{'a', [true] = 'b'}}"] =
        "on_console[1] has an unknown key, a boolean",
      ["{{'a', except = 5}}"] = "on_console[1].except must be a string",
      ["{'a', {'b', except = {'c', ''}}}"] =
        "on_console[2].except[2] is empty",
    }) do
      local out, status = run(t, "provium.on_console = " .. bad)
      t:assert(status ~= 0, bad)
      t:assert_contains(out, why)
    end
  end)

test("an alarm outside of tests fails the file", function(t)
    local out, status = run(t, [[
provium.on_console = {"BUG:"}
local vm = provium:vm("a"):boot()
pcall(vm.run, vm, "echo 'BUG: early' >/dev/console; sleep 1000")
local ok, err = pcall(vm.run, vm, "true")
print(ok, err)
test("never", function() end)
]])
    t:assert_eq(status, 1, out)
    t:assert_contains(out, "0 passed")
    t:assert_match(out, "x%.test%.lua:3: VM a: the console shows `BUG:`")
    t:assert_match(out, "false%s+x%.test%.lua:4: vm:run: VM a: the console")
  end)

for _, words in ipairs({ "quiet", "loglevel=0", "quiet loglevel=3" }) do
  test("warnings are seen under " .. words, function(t)
    local v = provium:vm("hushed", { kernel_cmdline_append = words }):boot()
    local e = t:assert_raises(function()
      v:run("echo '<4>BUG: a warning' >/dev/kmsg; sleep 1000")
    end)
    t:assert_contains(e, "the console shows `BUG:`: ")
    t:assert_contains(e, "BUG: a warning")
    -- It has only what alarms may wait for.
    t:assert(not v:console():read_log():find("Linux version", 1, true))
  end)
end

test("who writes of a panic kills nothing", function(t)
  local v = provium:vm("writes"):boot()
  for _, text in ipairs({ "no Kernel panic seen", "Kernel panic",
    "log: Kernel panic - not syncing: of an earlier boot" }) do
    v:run({ "/bin/sh", "-c", 'echo "$0" >/dev/console', text },
      { check = true })
    v:console():expect(text .. "\r\n", 60)
    t:assert(v:run("true"):ok())
  end
  t:assert_eq(v:state(), "booted")
end)

test("a guest that may panic restarts, and the test goes on", function(t)
  local v = provium:vm("again",
    { panic = true, kernel_cmdline_append = "panic=1" }):boot()
  local function boot_id()
    return v:run("cat /proc/sys/kernel/random/boot_id",
      { check = true }).stdout
  end
  local first = boot_id()
  local ok, err = pcall(v.run, v, "echo c >/proc/sysrq-trigger; sleep 1000")
  t:assert(not ok)
  t:assert_contains(err, "the guest's kernel panicked: ")
  t:assert_eq(v:state() == "dead", false)
  wait_until(function()
    local is_up, id = pcall(boot_id)
    return is_up and id ~= first
  end, { timeout = 120, desc = "the guest is up again" })
  t:assert_contains(v:console():read_log(), "Kernel panic - not syncing")
end)

test("a panic kills, and fails the test even when swallowed",
  function(t)
    local out, status = run(t, [[
test("panic", function(t)
  local vm = provium:vm("a"):boot()
  pcall(vm.run, vm, "echo c >/proc/sysrq-trigger; sleep 1000")
  t:log("state " .. vm:state())
end)
test("panic in a boot", function(t)
  local vm = provium:vm("a", {
    kernel_cmdline_append = "panic_on_warn=1 init=/x root=/dev/x " ..
      "oops=panic",
    files = {{path = "/init", mode = 493, content =
      "#!/bin/sh\nmount -t proc proc /proc\n" ..
      "echo c >/proc/sysrq-trigger\nsleep 1000\n"}},
  })
  -- The agent may answer before init gets to its line.
  t:log(tostring(pcall(function() vm:boot():run("sleep 1000") end)),
    vm:state())
end)
]])
    t:assert_eq(status, 1, out)
    t:assert_contains(out, "0 passed, 2 failed")
    t:assert_contains(out, "the guest's kernel panicked")
    t:assert_contains(out, "state dead")
  end)
