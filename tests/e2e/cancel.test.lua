-- A call that loses a race is given up: nothing of it stays, in the guest or
-- on the host, and what it was called on goes on to work.
provium.timeout = 300

local LONG = 100000
local SYS_PAUSE, SYS_GETPID = 34, 39
local vm = provium:vm("cancel"):boot()
local agent = vm:syscall(SYS_GETPID).ret

local function guest_state()
  local r = vm:run(([[
    ls /proc/%d/fd | wc -l; ls /proc/%d/task | wc -l
    ls -d /proc/[0-9]* | wc -l; ls -A /tmp | sort
  ]]):format(agent, agent), { check = true })
  return r.stdout
end

-- Descriptors of this process but pipes: popen closes its end of one while ls
-- looks, which then has a name in the list, but no target any more.
local function host_state()
  local f = assert(io.popen(
    "ls -l /proc/$PPID/fd 2>/dev/null | grep -c -e '-> [^p]'"))
  local n = f:read("*a")
  f:close()
  return n
end

-- What is given up is over in the guest a moment later.
local function is_as_before(t, what, guest, host)
  wait_until(function() return guest_state() == guest end,
    { timeout = 60, desc = what .. " to be gone from the guest" })
  t:assert_eq(host_state(), host, what)
end

-- The loser is on its way when this returns: requests are served in order.
local function winner()
  vm:run("true")
  return "won"
end

local function loses(t, what, fn)
  local guest, host = guest_state(), host_state()
  t:assert_eq(provium.race(fn, winner), "won", what)
  is_as_before(t, what, guest, host)
end

test("commands", function(t)
  loses(t, "run", function() vm:run("sleep 100000") end)
  loses(t, "a group", function()
    vm:run("sleep 100000 & sleep 100000 & wait")
  end)
  loses(t, "output", function() vm:run("cat /dev/zero") end)
  loses(t, "stdin", function()
    vm:run("sleep 100000", { stdin = ("x"):rep(1000000) })
  end)
end)

test("waiting for what goes on", function(t)
  local p = vm:run_async("sleep 100000")
  local s = p:stdout_stream()
  local call = vm:syscall_async(SYS_PAUSE)
  for what, fn in pairs({
    wait = function() p:wait(LONG) end,
    next = function() s:next(LONG) end,
    drain = function() s:drain(LONG) end,
    expect = function() s:expect("never", LONG) end,
    await = function() call:await(LONG) end,
    wait_until = function()
      wait_until(function() return false end, { timeout = LONG })
    end,
    wait_until_of_calls = function()
      wait_until(function() return not vm:run("true"):ok() end,
        { timeout = LONG, interval = 0 })
    end,
    console = function() vm:console():expect("never printed", LONG) end,
    barrier = function() provium:barrier("nobody_else", 2, LONG) end,
  }) do
    t:assert_eq(provium.race(fn, winner), "won", what)
  end
  -- All of them are as before.
  t:assert_eq({ p:status(), s:next(0), s:eof() }, { "running", nil, false })
  t:assert_contains(t:assert_raises(function() call:await("1ms") end), "await")
  t:assert_eq(provium.all(function() return provium:barrier("nobody_else", 2) end,
    function() return provium:barrier("nobody_else", 2) end), true)
end)

test("system calls", function(t)
  -- A call by itself is an object, which its await does not end.
  local guest, host = guest_state(), host_state()
  local call = vm:syscall_async(SYS_PAUSE)
  t:assert_eq(provium.race(function() call:await(LONG) end, winner), "won")
  t:assert(guest_state() ~= guest)
  call:close()
  is_as_before(t, "syscall_async", guest, host)
  loses(t, "sleep", function() vm:clock():sleep(LONG) end)
  local w = vm:spawn_worker()
  t:assert_eq(provium.race(function() w:syscall(SYS_PAUSE) end, winner), "won")
  t:assert(w:syscall(SYS_GETPID).ret > 0)
  t:assert_eq(provium.race(function() w:run("sleep 100000") end, winner), "won")
  t:assert_eq(w:run("echo alive").stdout, "alive\n")
end)

test("batches and tasks of tasks", function(t)
  loses(t, "a batch", function()
    vm:batch(function(b)
      b:run("sleep 100000")
      b:stat("/")
      b:run("sleep 100000")
    end)
  end)
  loses(t, "tasks", function()
    provium.all(function() vm:run("sleep 100000") end,
      function() vm:clock():sleep(LONG) end)
  end)
  t:assert_eq(vm:is_quiescent(), true)
  loses(t, "a race", function()
    provium.race(function() vm:run("sleep 100000") end,
      function() vm:run("sleep 100001") end)
  end)
end)

test("transfers", function(t)
  local dir = t:tmpdir()
  vm:run("mkfifo /tmp/fifo", { check = true })
  local f = assert(io.open(dir .. "/large", "w"))
  f:write(("x"):rep(32 * 1024 * 1024))
  f:close()
  loses(t, "read_file", function() vm:read_file("/dev/zero") end)
  loses(t, "read_file of a fifo", function() vm:read_file("/tmp/fifo") end)
  loses(t, "pull_file", function() vm:pull_file("/dev/zero", dir .. "/pulled") end)
  t:assert(not io.open(dir .. "/pulled"), "half a file was left on the host")
  local reader = vm:open_file("/tmp/fifo", { read = true, write = true })
  loses(t, "write_file", function()
    vm:write_file("/tmp/fifo", ("x"):rep(1000000))
  end)
  loses(t, "push_file", function() vm:push_file(dir .. "/large", "/tmp/fifo") end)
  reader:close()
end)

test("a boot", function(t)
  local other = provium:vm("other")
  t:assert_eq(provium.race(function() other:boot() end, winner), "won")
  t:assert(other:state() ~= "booted", other:state())
  t:assert_eq(other:pid(), nil)
end)
