-- Workers: processes of one thread, whose calls all run in it.
local vm = provium:vm("a"):boot()

local SYS = {
  read = 0, write = 1, close = 3, mmap = 9, rt_sigprocmask = 14, ioctl = 16,
  pause = 34, nanosleep = 35, getpid = 39, fork = 57, kill = 62, uname = 63,
  fcntl = 72, chdir = 80, umask = 95, getuid = 102, setuid = 105, prctl = 157,
  gettid = 186, unshare = 272, eventfd2 = 290,
}

test("every call of a worker runs on its one thread", function(t)
  local w = vm:spawn_worker()
  local pid = w:syscall(SYS.getpid).ret
  t:assert_eq(pid, w:pid())
  t:assert(pid ~= vm:syscall(SYS.getpid).ret)
  for _ = 1, 50 do
    t:assert_eq(w:syscall(SYS.gettid).ret, pid)
  end
  t:assert_match(vm:read_file("/proc/" .. pid .. "/status"), "Threads:%s+1\n")
end)

test("credentials carry from call to call, and to what it runs", function(t)
  local w = vm:spawn_worker()
  t:assert_eq(w:syscall(SYS.setuid, 1234).ret, 0)
  t:assert_eq(w:syscall(SYS.getuid).ret, 1234)
  t:assert_eq(w:run("id -u").stdout, "1234\n")
  t:assert_eq(vm:run("id -u").stdout, "0\n")
  local err = t:assert_raises(function()
    w:write_file("/etc/owned", "x")
  end)
  t:assert_contains(err, "Permission denied")
  local f = w:run_async("sleep 100")
  t:assert_match(vm:read_file("/proc/" .. f:pid() .. "/status"), "Uid:%s+1234")
end)

test("a user namespace can be made in a worker", function(t)
  local w = vm:spawn_worker()
  local r = w:syscall(SYS.unshare, 0x10000000)
  t:assert_eq(r.errno, 0)
  t:assert_eq(w:syscall(SYS.getuid).ret, 65534)
end)

test("its signal mask, umask and directory stay", function(t)
  local w = vm:spawn_worker()
  -- SIG_BLOCK of SIGUSR1
  local set = string.pack("<I8", bit.lshift(1, 9))
  t:assert_eq(w:syscall(SYS.rt_sigprocmask, {
    args = {0, 0, 0, 8}, bufs = {set}, ptrs = {1},
  }).ret, 0)
  local old = w:syscall(SYS.rt_sigprocmask, {
    args = {0, 0, 0, 8}, bufs = {string.rep("\0", 8)}, ptrs = {2},
  }).out_bufs[1]
  t:assert_eq(bit.band(string.unpack("<I4", old), bit.lshift(1, 9)), bit.lshift(1, 9))
  w:syscall(SYS.umask, tonumber("027", 8))
  w:write_file("/tmp/masked", "x")
  t:assert_eq(vm:stat("/tmp/masked").perm, tonumber("640", 8))
  t:assert_eq(w:syscall(SYS.chdir, {bufs = {"/proc\0"}, ptrs = {0}}).ret, 0)
  t:assert_eq(w:run("pwd").stdout, "/proc\n")
  t:assert_contains(w:read_file("self/status"), "provium")
  t:assert_eq(w:run("pwd", {cwd = "/sys"}).stdout, "/sys\n")
end)

test("files opened in a worker are its own", function(t)
  local w = vm:spawn_worker()
  vm:write_file("/tmp/own", "hello")
  local f = w:open_file("/tmp/own", {read = true})
  t:assert_eq(f:read(4), "hell")
  t:assert_eq(w:syscall(SYS.fcntl, f:fd(), 1).errno, 0)
  t:assert_eq(vm:syscall(SYS.fcntl, f:fd() + 100, 1).errno, 9)
  local err = t:assert_raises(function() vm:fd_stream(f) end)
  t:assert_contains(err, "the file is open in worker " .. w:pid() .. ", not in VM a")
  f:close()
  err = t:assert_raises(function() f:read(1) end)
  t:assert_contains(err, "file is closed")
end)

test("a blocked call delays nothing but its worker", function(t)
  local w = vm:spawn_worker()
  local pause = w:syscall_async(SYS.pause)
  for _ = 1, 20 do
    t:assert_eq(vm:run("true").exit_code, 0)
  end
  local err = t:assert_raises(function() pause:await("50ms") end)
  t:assert_contains(err, "call:await: the system call is still running")
  local ended, r
  repeat -- one that comes before the call has begun ends nothing
    w:interrupt()
    ended, r = pcall(pause.await, pause, "200ms")
  until ended
  t:assert_eq(r.ret, -1)
  t:assert_eq(r.errno, 4)
  t:assert_eq(pause:await().errno, 4)
end)

test("many calls of a VM may block at once", function(t)
  -- EFD_SEMAPHORE: a read takes 1, so each write ends one of the calls.
  local fd = vm:syscall(SYS.eventfd2, 0, 1).ret
  local calls = {}
  for i = 1, 40 do
    calls[i] = vm:syscall_async(SYS.read, {
      args = {fd, 0, 8}, bufs = {string.rep("\0", 8)}, ptrs = {1},
    })
  end
  t:assert_eq(vm:syscall(SYS.getpid).errno, 0)
  local one = string.pack("<I8", 1)
  for i = 1, 40 do
    vm:syscall(SYS.write, {args = {fd, 0, 8}, bufs = {one}, ptrs = {1}})
    if i % 2 == 0 then
      vm:stat("/")
    end
  end
  for i = 1, 40 do
    local r = calls[i]:await()
    t:assert_eq(r.ret, 8)
    t:assert_eq(r.out_bufs[1], one)
  end
end)

test("a call that was closed is interrupted and gone", function(t)
  local call = vm:syscall_async(SYS.pause)
  call:close()
  local err = t:assert_raises(function() call:await() end)
  t:assert_contains(err, "the call is closed")
end)

test("a worker leaves the call that is given up, and no other", function(t)
  local w = vm:spawn_worker()
  local pid = w:syscall(SYS.getpid).ret
  -- About to enter it, in it, or before it has heard of it.
  for i = 1, 40 do
    t:assert_eq(provium.race(function() w:syscall(SYS.pause) end, function()
      for _ = 1, i % 4 do vm:stat("/") end
      return "won"
    end), "won")
    t:assert_eq(w:syscall(SYS.getpid).ret, pid)
  end
  -- Of calls that wait for one another, whichever is closed first.
  for _, order in ipairs({ { 1, 2 }, { 2, 1 } }) do
    local calls = { w:syscall_async(SYS.pause), w:syscall_async(SYS.pause) }
    local last = w:syscall_async(SYS.getpid)
    calls[order[1]]:close()
    vm:stat("/")
    calls[order[2]]:close()
    t:assert_eq(last:await(60).ret, pid)
  end
  -- Its signal mask is that of before.
  local SYS_PPOLL, SYS_SIGPROCMASK = 271, 14
  local function mask()
    return w:syscall(SYS_SIGPROCMASK, { args = { 0, 0, 0, 8 }, ptrs = { 2 },
      bufs = { ("\0"):rep(8) } }).out_bufs[1]
  end
  local before = mask()
  t:assert_eq(provium.race(function()
    w:syscall(SYS_PPOLL, { args = { 0, 0, 0, 0, 8 }, ptrs = { 3 },
      bufs = { "\255\255\255\255\255\255\255\0" } })
  end, function() vm:run("true") return "won" end), "won")
  t:assert_eq(mask(), before)
end)

test("a killed worker says so at once, and how it ended", function(t)
  local w = vm:spawn_worker()
  local pause = w:syscall_async(SYS.pause)
  w:kill()
  local err = t:assert_raises(function() pause:await(30) end)
  t:assert_contains(err, "the worker is gone")
  err = t:assert_raises(function() w:syscall(SYS.getpid) end)
  t:assert_contains(err, "worker:syscall: the worker is gone")
  local r = w:join()
  t:assert_eq(r.status, "signalled")
  t:assert_eq(r.signal, 9)
end)

test("a worker that is joined has done all it was asked", function(t)
  local w = vm:spawn_worker()
  local last = w:syscall_async(SYS.nanosleep, {
    bufs = {string.pack("<i8i8", 0, 50000000)}, ptrs = {0},
  })
  local r = w:join(30)
  t:assert_eq(r.exit_code, 0)
  t:assert_eq(last:await().ret, 0)
  local err = t:assert_raises(function() w:run("true") end)
  t:assert_contains(err, "the worker is gone")
end)

test("a worker does not outlive its scope or its guest", function(t)
  local w = vm:spawn_worker()
  local pid = w:pid()
  w:close()
  w:close()
  wait_until(function()
    return not pcall(vm.stat, vm, "/proc/" .. pid)
  end, {desc = "the end of the worker", timeout = 30})
  local err = t:assert_raises(function() w:run("true") end)
  t:assert_contains(err, "the worker is closed")
end)

test("ioctl gives data back, and writes pointers into it", function(t)
  local f = vm:open_file("/dev/ptmx", {read = true, write = true})
  -- TIOCGPTN: the number of the terminal
  local r = vm:ioctl(f, 0x80045430, "\0\0\0\0")
  t:assert_eq(r.errno, 0)
  t:assert(string.unpack("<I4", r.out_data) < 100)
  t:assert_eq(r.out_bufs, {})
  -- TIOCSWINSZ, TIOCGWINSZ
  t:assert_eq(vm:ioctl(f:fd(), 0x5414, string.pack("<I2I2I2I2", 24, 80, 0, 0)).ret, 0)
  local size = vm:ioctl(f, 0x5413, string.rep("\0", 8)).out_data
  t:assert_eq({string.unpack("<I2I2", size)}, {24, 80, 5})
  -- a number as argument; a bad request
  t:assert_eq(vm:ioctl(f, 0x540B, 0).ret, 0)
  t:assert_eq(vm:ioctl(f, 0x12345678).errno, 25)
  local err = t:assert_raises(function() vm:ioctl(f, 1, 2, {bufs = {"x"}}) end)
  t:assert_contains(err, "vm:ioctl: bufs and ptr_offsets need data that is a string")
  err = t:assert_raises(function()
    vm:ioctl(f, 1, "1234567", {bufs = {"x"}, ptr_offsets = {0}})
  end)
  t:assert_contains(err, "data has no room for a pointer")
end)

test("memory that a call gave an address of can be read", function(t)
  for _, g in ipairs({vm, vm:spawn_worker()}) do
    local at = g:syscall(SYS.mmap, 0, 4096, 3, 0x22, -1, 0).ret
    t:assert_eq(g:syscall(SYS.uname, at).ret, 0)
    t:assert_eq(g:read_mem(at, 6), "Linux\0")
    t:assert_eq(#g:read_mem(at, 4096), 4096)
    local bytes, errno = g:read_mem(at, 67108864)
    if bytes then
      t:fail("read what is not mapped")
    end
    t:assert_eq(errno, 14)
    t:assert_eq(select(2, g:read_mem(0, 1)), 14)
  end
end)

test("a reset takes workers with it, clearly", function(t)
  local w = vm:spawn_worker()
  local call = w:syscall_async(SYS.pause)
  vm:reset()
  local err = t:assert_raises(function() call:await(30) end)
  t:assert_contains(err, "reset")
  err = t:assert_raises(function() w:run("true") end)
  t:assert_contains(err, "worker:run: the worker is gone: the guest was shut down or started anew since")
  t:assert_eq(vm:spawn_worker():run("echo back").stdout, "back\n")
end)

test("a worker whose spawn loses a race is gone", function(t)
  -- Workers are forks of the agent, and called as it is.
  local count = "grep -l '^@provium-agent' /proc/[0-9]*/cmdline | wc -l"
  local fresh = provium:vm("fresh"):boot()
  for _ = 1, 10 do
    provium.race(function() return fresh:spawn_worker() end, function() end)
  end
  wait_until(function()
    return fresh:run(count).stdout == "1\n"
  end, {timeout = 30, desc = "no process of a worker"})
end)

test("a worker that ends by itself says where to ask", function(t)
  local ends = {
    { how = { 60, 7 }, status = "exited", exit_code = 7 }, -- exit
    { how = { 231, 8 }, status = "exited", exit_code = 8 }, -- exit_group
    { how = { SYS.kill, 0, 11 }, status = "signalled", exit_code = -1 },
  }
  for _, e in ipairs(ends) do
    local w = vm:spawn_worker()
    if e.how[1] == SYS.kill then
      e.how[2] = w:pid()
    end
    for _ = 1, 2 do
      local err = t:assert_raises(function() w:syscall(unpack(e.how)) end)
      t:assert_contains(err, "worker:syscall: the worker is gone: "
        .. "worker:join() tells how it ended")
    end
    local err = t:assert_raises(function() w:run("true") end)
    t:assert_contains(err, "worker:run: the worker is gone")
    local r = w:join(60)
    t:assert_eq({ r.status, r.exit_code }, { e.status, e.exit_code })
    w:kill()
    err = t:assert_raises(function() w:interrupt() end)
    t:assert_contains(err, ("to process %d: No such process"):format(w:pid()))
    w:close()
    t:assert_contains(t:assert_raises(function() w:handle() end),
      "worker:handle: the worker is closed")
  end
  t:assert(vm:run("true"):ok())
end)

test("a worker may close what it inherited, and be stopped", function(t)
  local w = vm:spawn_worker()
  for fd = 0, 2 do
    w:syscall(SYS.close, fd)
  end
  t:assert_eq(w:syscall(SYS.getpid).ret, w:pid())
  local stop = w:syscall_async(SYS.kill, w:pid(), 19)
  wait_until(function()
    return vm:read_file("/proc/" .. w:pid() .. "/status"):find("State:%s+T")
  end, { timeout = 60, desc = "the worker stopped" })
  t:assert_contains(t:assert_raises(function() stop:await(0) end),
    "the system call is still running")
  w:kill("CONT")
  t:assert_eq(stop:await(60).ret, 0)
  w:kill("sigkill")
  t:assert_eq(w:join(60).signal, 9)
end)

test("the guest's calls go on while workers block", function(t)
  local workers, calls = {}, {}
  for i = 1, 8 do
    workers[i] = vm:spawn_worker()
    calls[i] = workers[i]:syscall_async(SYS.pause)
  end
  t:assert_eq(vm:run("echo on").stdout, "on\n")
  for i = 1, 8 do
    workers[i]:kill()
    t:assert_contains(t:assert_raises(function() calls[i]:await(60) end),
      "the worker is gone")
  end
end)
