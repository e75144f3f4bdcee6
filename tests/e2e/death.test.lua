-- Whatever waits for a guest ends when the guest does, at once, with the cause.
-- The deadlines here are far beyond that of the test: nothing may wait for its
-- own.
provium.timeout = 300

local LONG = 100000
local SYS_PAUSE, SYS_EXIT_GROUP = 34, 231

-- {name = call}: each waits for something that never comes.
local function waiting_calls(vm, dir)
  local worker, busy = vm:spawn_worker(), vm:spawn_worker()
  local process = vm:run_async("sleep 100000")
  vm:run("mkfifo /tmp/fifo; : > /tmp/tail", { check = true })
  local fifo = vm:open_file("/tmp/fifo", { read = true, write = true })
  local tail = vm:tail_file("/tmp/tail")
  local console = vm:console()
  local typed = console:read()
  typed:drain(0)
  local call, of_worker = vm:syscall_async(SYS_PAUSE),
    busy:syscall_async(SYS_PAUSE)
  local streams = {}
  for i = 1, 3 do
    streams[i] = process:stdout_stream()
  end
  return {
    run = function() vm:run("sleep 100000") end,
    run_with_timeout = function() vm:run("sleep 100000", { timeout = LONG }) end,
    wait = function() process:wait(LONG) end,
    next = function() streams[1]:next(LONG) end,
    read_until = function() streams[2]:read_until("never", LONG) end,
    drain = function() streams[3]:drain(LONG) end,
    tail = function() tail:expect("never", LONG) end,
    lines = function()
      for _ in vm:tail_file("/tmp/tail"):lines(LONG) do end
    end,
    console_expect = function() console:expect("never printed", LONG) end,
    console_stream = function() typed:expect("never printed", LONG) end,
    await = function() call:await(LONG) end,
    worker_await = function() of_worker:await(LONG) end,
    worker_run = function() worker:run("sleep 100000") end,
    join = function() busy:join(LONG) end,
    read = function() fifo:read(1) end,
    read_file = function() vm:read_file("/tmp/fifo") end,
    pull_file = function() vm:pull_file("/tmp/fifo", dir .. "/pulled") end,
    sleep = function() vm:clock():sleep(LONG) end,
    batch = function()
      local r = vm:batch(function(b) b:run("sleep 100000") b:stat("/") end)
      error(r[1].err, 0)
    end,
  }
end

-- Has all of them wait but those named in left_out, ends the guest, and returns
-- their errors.
local function errors_of(t, vm, how, left_out)
  local calls = waiting_calls(vm, t:tmpdir())
  local errors, tasks = {}, {}
  for name, fn in pairs(calls) do
    if not (left_out and left_out[name]) then
      errors[name] = "nothing"
      tasks[#tasks + 1] = function()
        local ok, err = pcall(fn)
        errors[name] = ok and "no error" or tostring(err)
      end
    end
  end
  tasks[#tasks + 1] = function()
    vm:run("true") -- the others are on their way by now
    how()
  end
  provium.all(unpack(tasks))
  return errors
end

local IS_CONSOLE = { console_expect = true, console_stream = true }

-- causes: texts that each of them must have; a stream that is closed with its
-- VM just ends.
local function check(t, errors, causes, but)
  local problems = {}
  for name, err in pairs(errors) do
    local wanted = IS_CONSOLE[name] and { "console " } or causes
    wanted = but and but[name] or wanted
    for _, want in ipairs(wanted) do
      if not err:find(want, 1, true) then
        problems[#problems + 1] = ("%s: no '%s' in: %s"):format(name, want,
          err)
      end
    end
  end
  table.sort(problems)
  t:assert(#problems == 0, table.concat(problems, "\n"))
end

-- What an error quotes of the console begins where the guest was ready.
local function say_last_words(vm)
  vm:run("echo last words >/dev/kmsg", { check = true })
  vm:console():expect("last words")
end

test("QEMU is killed", function(t)
  local vm = provium:vm("killed"):boot()
  say_last_words(vm)
  local errors = errors_of(t, vm, function()
    os.execute("kill -9 " .. vm:pid())
  end)
  check(t, errors, { "death.test.lua:", "VM killed: QEMU was killed by "
    .. "signal 9", "the console ends:", "last words" })
  for name, err in pairs(errors) do
    t:assert(not err:find("Linux version", 1, true), name .. ": " .. err)
  end
  t:assert_eq(vm:state(), "dead")
end)

test("the guest powers off", function(t)
  local vm = provium:vm("off"):boot()
  local errors = errors_of(t, vm, function()
    pcall(vm.run, vm, "echo o > /proc/sysrq-trigger; sleep 100000")
  end)
  check(t, errors, { "death.test.lua:", "VM off: the guest powered off" })
  t:assert_eq(vm:state(), "shutdown")
end)

test("it is shut down", function(t)
  local vm = provium:vm("down"):boot()
  local errors = errors_of(t, vm, function() vm:shutdown() end)
  check(t, errors, { "death.test.lua:", "VM down: it was shut down" })
end)

test("it is reset", function(t)
  local vm = provium:vm("again"):boot()
  local console = vm:console()
  local found
  -- What waits for the console goes on: the next boot may print it.
  local errors = errors_of(t, vm, function()
    provium.all(function()
      found = console:expect("printed by the next", 200)
    end, function()
      vm:reset()
      vm:run("echo printed by the next > /dev/ttyS0")
    end)
  end, { console_expect = true })
  check(t, errors, { "death.test.lua:", "the guest was reset" })
  t:assert_eq(found, "printed by the next")
end)

test("it is closed", function(t)
  local vm = provium:vm("closed"):boot()
  local errors = errors_of(t, vm, function() vm:close() end)
  for name, err in pairs(errors) do
    -- A stream that is closed has ended: no error of those that ask for more.
    if name == "next" or name == "drain" or name == "lines" then
      t:assert_eq(err, "no error", name)
    else
      t:assert_match(err, "death.test.lua:%d+: %l+:[%l_]+: ", name)
    end
  end
end)

for _, how in ipairs({
  { name = "its kernel panics", says = "the guest's kernel panicked",
    fn = function(vm)
      pcall(vm.run, vm, "echo c > /proc/sysrq-trigger; sleep 100000")
    end },
}) do
  test(how.name, function(t)
    local vm = provium:vm("v"):boot()
    local said = t:assert_raises(function()
      -- The alarm of the console fails the test besides: assert_raises forgives.
      local errors = errors_of(t, vm, function() how.fn(vm) end)
      local first
      for name, err in pairs(errors) do
        if not IS_CONSOLE[name] then
          first = first or err
        end
      end
      error(first, 0)
    end)
    t:assert(said:find("panic", 1, true) or said:find(how.says, 1, true), said)
    t:assert_contains(said, "the console ends:")
    t:assert_eq(vm:state(), "dead")
  end)
end

for _, how in ipairs({
  { name = "of a guest that turned its console off", cmdline = "",
    first = "echo 0 >/proc/sys/kernel/printk; " },
  { name = "under loglevel=0", cmdline = "loglevel=0", first = "" },
}) do
  test("a panic " .. how.name .. " is noticed at once", function(t)
    local v = provium:vm("hushed", { kernel_cmdline_append = how.cmdline })
    v:boot()
    local e = t:assert_raises(function()
      v:run(how.first .. "echo c >/proc/sysrq-trigger; sleep 1000")
    end)
    t:assert_contains(e, "the guest's kernel panicked")
    t:assert_eq(v:state(), "dead")
    t:assert(not v:console():read_log():find("Kernel panic", 1, true))
  end)
end

-- The machine lives, and may still print: what waits for the console goes on.
test("its agent ends", function(t)
  local vm = provium:vm("v"):boot()
  say_last_words(vm)
  local errors = errors_of(t, vm, function()
    pcall(vm.syscall, vm, SYS_EXIT_GROUP, 3)
  end, IS_CONSOLE)
  check(t, errors, { "death.test.lua:", "VM v lost its agent: the agent in "
    .. "the guest ended", "the console ends:", "last words" })
  t:assert_eq(vm:state(), "booted")
end)

test("calls of other guests go on", function(t)
  local dies, lives = provium:vm("dies"), provium:vm("lives")
  provium.all(function() dies:boot() end, function() lives:boot() end)
  local r
  provium.all(function()
    r = lives:run("sleep 1; echo alive")
  end, function()
    pcall(dies.run, dies, "sleep 100000")
  end, function()
    dies:run("true")
    os.execute("kill -9 " .. dies:pid())
  end)
  t:assert_eq(r.stdout, "alive\n")
  t:assert_eq({ dies:state(), lives:state() }, { "dead", "booted" })
end)
