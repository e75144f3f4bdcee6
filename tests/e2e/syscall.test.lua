-- Raw system calls (x86-64 numbers).
local ffi = require("ffi")
local vm = provium:vm("syscall"):boot()

local SYS = { read = 0, write = 1, open = 2, close = 3, lseek = 8,
  writev = 20, getpid = 39, uname = 63, unlink = 87, getppid = 110,
  clock_gettime = 228, openat = 257, memfd_create = 319 }

test("a call returns its value", function(t)
  local r = vm:syscall(SYS.getpid)
  t:assert(r.ret > 0)
  t:assert_eq(r.result, r.ret)
  t:assert_eq(r.errno, 0)
  t:assert_eq(r.out_bufs, {})
end)

test("a failure is an outcome", function(t)
  local r = vm:syscall(SYS.close, 9999)
  t:assert_eq({ r.ret, r.errno }, { -1, 9 })
end)

test("buffers go in and come back", function(t)
  local r = vm:syscall(SYS.uname, { bufs = { ("\0"):rep(390) },
    ptrs = { 0 } })
  t:assert_eq(r.ret, 0)
  t:assert_eq(r.out_bufs[1]:match("^%Z+"), "Linux")
  t:assert_eq(#r.out_bufs[1], 390)
end)

test("fds stay open from call to call", function(t)
  local fd = vm:syscall(SYS.open, { args = { 0, tonumber("102", 8),
    tonumber("600", 8) }, bufs = { "/tmp/f\0" }, ptrs = { 0 } }).ret
  t:assert(fd > 2)
  t:assert_eq(vm:syscall(SYS.write, { args = { fd, 0, 5 },
    bufs = { "hello" }, ptrs = { 1 } }).ret, 5)
  t:assert_eq(vm:syscall(SYS.lseek, fd, 0, 0).ret, 0)
  local r = vm:syscall(SYS.read, { args = { fd, 0, 16 },
    bufs = { ("\0"):rep(16) }, ptrs = { 1 } })
  t:assert_eq(r.ret, 5)
  t:assert_eq(r.out_bufs[1]:sub(1, 5), "hello")
  t:assert_eq(vm:syscall(SYS.close, fd).ret, 0)
  t:assert_eq(vm:read_file("/tmp/f"), "hello")
end)

test("pointers inside buffers are filled in", function(t)
  local fd = vm:syscall(SYS.memfd_create, { args = { 0, 0 },
    bufs = { "m\0" }, ptrs = { 0 } }).ret
  local iov = ffi.new("uint64_t[4]", 0, 3, 0, 4)
  local r = vm:syscall(SYS.writev, {
    args = { fd, 0, 2 },
    bufs = { ffi.string(iov, 32), "abc", "defg" },
    ptrs = { 1 },
    nested = { { parent = 1, child = 2, offset = 0 },
      { parent = 1, child = 3, offset = 16 } },
  })
  t:assert_eq(r.ret, 7)
  vm:syscall(SYS.lseek, fd, 0, 0)
  r = vm:syscall(SYS.read, { args = { fd, 0, 7 }, bufs = { ("\0"):rep(7) },
    ptrs = { 1 } })
  t:assert_eq(r.out_bufs[1], "abcdefg")
  vm:syscall(SYS.close, fd)
end)

test("64 bits are exact both ways", function(t)
  local fd = vm:syscall(SYS.memfd_create, { args = { 0, 0 },
    bufs = { "m\0" }, ptrs = { 0 } }).ret
  local big = 9007199254740993LL -- 2^53 + 1
  local r = vm:syscall(SYS.lseek, fd, big, 0)
  t:assert(r.ret == big)
  t:assert(ffi.istype("int64_t", r.ret))
  t:assert_eq(type(vm:syscall(SYS.lseek, fd, 4096ULL, 0).ret), "number")
  t:assert_eq(vm:syscall(SYS.lseek, fd, -1, 0).errno, 22)
  vm:syscall(SYS.close, fd)
end)

test("misuse is refused", function(t)
  local function raises(text, ...)
    local args = { ... }
    t:assert_contains(t:assert_raises(function()
      vm:syscall(unpack(args))
    end), text)
  end
  raises("7 arguments were given", 1, 1, 2, 3, 4, 5, 6, 7)
  raises("7 arguments were given", 1, { args = { 1, 2, 3, 4, 5, 6, 7 } })
  raises("nr must be an integer, got a string", "read")
  raises("argument 1 must be an integer, got a string", 1, "x")
  raises("argument 1 must be an integer of 64 bits, got 1.5", 1, 1.5)
  raises("unknown option 'buf'; valid: args, bufs, ptrs, nested", 1,
    { buf = {} })
  raises("ptrs[1] must be 0 to 5, got 6", 1, { bufs = { "" }, ptrs = { 6 } })
  raises("nested[1].child must be the position of one of the 1 bufs, got 2",
    1, { bufs = { "12345678" }, nested = { { parent = 1, child = 2,
      offset = 0 } } })
  raises("a nested pointer outside its buffer", 1, { bufs = { "1234" },
    nested = { { parent = 1, child = 1, offset = 0 } } })
end)

test("what would be dropped in silence is refused", function(t)
  local function raises(text, options)
    local err = t:assert_raises(function() vm:syscall(39, options) end)
    t:assert_match(err, "^tests/e2e/syscall.test.lua:%d+: vm:syscall: ")
    t:assert_contains(err, text)
  end
  raises("ptrs[1] and ptrs[2] are both argument 3",
    { bufs = { "a", "b" }, ptrs = { 3, 3 } })
  raises("args must be a table, got a number", { args = 1 })
  raises("args", { args = { first = 1 } })
  raises("bufs", { bufs = { path = "/tmp" } })
  raises("nested", { bufs = { ("\0"):rep(8) },
    nested = { parent = 1, child = 1, offset = 0 } })
  raises("an index of ptrs must be 1 to 1, got 2",
    { bufs = { "a" }, ptrs = { 0, 1 } })
  raises("ptrs[1] must be 0 to 5, got -1", { bufs = { "a" }, ptrs = { -1 } })
  t:assert_contains(t:assert_raises(function()
    vm:syscall(39, { args = {} }, 5)
  end), "nothing may follow the table of options")
  t:assert_contains(t:assert_raises(function()
    vm:syscall(39, 1, nil, 3)
  end), "argument 2 must be an integer, got nil")
end)

test("out_bufs is a table, whatever the outcome", function(t)
  t:assert_eq(vm:syscall(99999).out_bufs, {})
  local r = vm:syscall(SYS.close, { args = { 9999 } })
  t:assert_eq({ r.ret, r.result, r.errno, r.out_bufs }, { -1, -1, 9, {} })
  -- Given back as it was, where the call failed or had no use for it.
  r = vm:syscall(SYS.close, { args = { 9999 }, bufs = { "ab", "c" },
    ptrs = { [2] = 1 } })
  t:assert_eq({ r.errno, r.out_bufs }, { 9, { "ab", "c" } })
  r.mine = "a field of the test"
  t:assert_eq(r.mine, "a field of the test")
end)

test("an address outside of the agent's memory is an outcome", function(t)
  t:assert_eq(vm:syscall(SYS.uname, 8).errno, 14)
  t:assert_eq(vm:syscall(SYS.write, 1, 8, 8).errno, 14)
  t:assert(vm:run("true"):ok())
end)

test("hundreds of calls are in flight at once", { timeout = 300 }, function(t)
  local SYS_EVENTFD2, N = 290, 250
  local one = { bufs = { ("\0"):rep(8) }, ptrs = { 1 } }
  for _, g in ipairs({ vm, vm:spawn_worker() }) do
    local calls = {}
    -- A worker has one thread: what it has begun must not wait for the rest.
    local fd = g:syscall(SYS_EVENTFD2, g == vm and 0 or N, 1).ret
    one.args = { fd, 0, 8 }
    for i = 1, N do
      calls[i] = g:syscall_async(SYS.read, one)
    end
    if g == vm then
      vm:syscall(SYS.write, { args = { fd, 0, 8 }, ptrs = { 1 },
        bufs = { string.pack("<I8", N) } })
    end
    for i = N, 1, -1 do
      t:assert_eq(calls[i]:await(200).ret, 8)
    end
    g:syscall(SYS.close, fd)
  end
end)

test("a call is awaited twice, and its outcome is each one's own", function(t)
  for _, g in ipairs({ vm, vm:spawn_worker() }) do
    local call = g:syscall_async(SYS.getpid)
    local first = call:await()
    first.ret = "changed"
    t:assert_eq(call:await().ret, g:syscall(SYS.getpid).ret)
    call:close()
    call:close()
    t:assert_contains(t:assert_raises(function() call:await() end),
      "call:await: the call is closed")
  end
end)
