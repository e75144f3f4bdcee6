-- Tails: where they start, what they follow, and what happens to those who
-- do not read them.
local sources = require("sources")

provium.timeout = 300

local vm = provium:vm("tails"):boot()
local settle, now = sources.settle, sources.now
local LONG = 60

-- System calls of x86-64.
local SYS = {write = 1, close = 3, getpid = 39, pipe2 = 293,
  socketpair = 53, eventfd2 = 290, ioctl = 16, openat = 257}

local count = 0
local function path_of(name)
  count = count + 1
  return ("/tmp/%s-%d"):format(name, count)
end

local function raises(t, text, fn)
  local err = tostring(t:assert_raises(fn))
  t:assert_contains(err, text)
  return err
end

local function sh(command)
  return vm:run(command, {check = true}).stdout
end

-- Reads exactly n bytes.
local function take(s, n)
  local parts, have = {}, 0
  while have < n do
    local frame = s:next(LONG)
    if not frame then error(("the stream gave %d of %d bytes"):format(
      have, n)) end
    parts[#parts + 1] = frame
    have = have + #frame
  end
  return table.concat(parts)
end

-- Nothing but `rest` has come: a byte that is written now comes after it.
local function assert_only(t, s, rest, append)
  append("\n<end>")
  t:assert_eq(s:read_until("<end>", LONG), rest .. "\n<end>")
end

local function appender(path)
  local f = vm:open_file(path, {append = true})
  return function(bytes) f:write(bytes) end, f
end

-- All that is written to the kernel's log gets there.
sh("echo on >/proc/sys/kernel/printk_devkmsg")

local function fd_pair(nr, args, slot)
  local r = vm:syscall(nr, {args = args, bufs = {("\0"):rep(8)},
    ptrs = {slot}})
  assert(r.ret == 0, "errno " .. r.errno)
  return string.unpack("<i4i4", r.out_bufs[1])
end

local function raw_write(fd, bytes)
  local r = vm:syscall(SYS.write, {args = {fd, 0, #bytes}, bufs = {bytes},
    ptrs = {1}})
  assert(r.ret == #bytes, "errno " .. r.errno)
end

-- Where it starts -----------------------------------------------------------

test("start \"end\" is the default: only bytes appended after the call",
  function(t)
    for _, opts in ipairs({false, {start = "end"}, {}}) do
      local p = path_of("end")
      vm:write_file(p, "old old old\n")
      local s = vm:tail_file(p, opts or nil)
      assert_only(t, s, "", appender(p))
    end
  end)

test("start \"beginning\" and \"start\" replay from byte 0, then go on",
  function(t)
    for _, start in ipairs({"beginning", "start"}) do
      local p = path_of("begin")
      vm:write_file(p, "old\n")
      local s = vm:tail_file(p, {start = start})
      t:assert_eq(take(s, 4), "old\n")
      assert_only(t, s, "", appender(p))
    end
  end)

test("start as an integer is that exact byte", function(t)
  local p = path_of("int")
  vm:write_file(p, "0123456789")
  for _, c in ipairs({{0, "0123456789"}, {1, "123456789"}, {9, "9"},
    {10, ""}}) do
    local s = vm:tail_file(p, {start = c[1]})
    t:assert_eq(take(s, #c[2]), c[2])
    s:close()
  end
  assert_only(t, vm:tail_file(p, {start = 10}), "", appender(p))
end)

test("a negative start counts back from the end, no further than byte 0",
  function(t)
    local p = path_of("neg")
    vm:write_file(p, "0123456789")
    for _, c in ipairs({{-1, "9"}, {-10, "0123456789"},
      {-11, "0123456789"}, {-2 ^ 40, "0123456789"}}) do
      t:assert_eq(take(vm:tail_file(p, {start = c[1]}), #c[2]), c[2])
    end
  end)

test("a start with a fraction is truncated towards zero", function(t)
  local p = path_of("float")
  vm:write_file(p, "0123456789")
  for _, c in ipairs({{7.9, "789"}, {-2.9, "89"}, {0.9, "0123456789"}}) do
    t:assert_eq(take(vm:tail_file(p, {start = c[1]}), #c[2]), c[2])
  end
end)

test("a start beyond the end gives what is written from there on",
  function(t)
    local p = path_of("beyond")
    vm:write_file(p, "0123")
    local s = vm:tail_file(p, {start = 6})
    local append = appender(p)
    append("45")
    append("67")
    t:assert_eq(take(s, 2), "67")
    assert_only(t, s, "", append)
  end)

test("a start that is none is refused", function(t)
  local p = path_of("bad")
  vm:write_file(p, "")
  for _, bad in ipairs({"middle", "", 0 / 0, 1 / 0, 2 ^ 60, true}) do
    raises(t, "start", function() vm:tail_file(p, {start = bad}) end)
  end
  raises(t, "unknown option 'begin'; valid: start", function()
    vm:tail_file(p, {begin = 0})
  end)
end)

test("the position is fixed before the call returns", function(t)
  local p = path_of("fixed")
  vm:write_file(p, "")
  local append = appender(p)
  for i = 1, 200 do
    local s = vm:tail_file(p)
    append(("%04d"):format(i))
    t:assert_eq(take(s, 4), ("%04d"):format(i))
    s:close()
  end
end)

test("a file's own tail starts at its end, wherever its position is",
  function(t)
    local p = path_of("own")
    vm:write_file(p, "0123456789")
    local f = vm:open_file(p, {read = true})
    t:assert_eq(f:read(3), "012")
    local s = f:tail_stream()
    local append = appender(p)
    append("new")
    t:assert_eq(take(s, 3), "new")
    t:assert_eq(f:tell(), 3)
    t:assert_eq(f:read(3), "345")
    append("more")
    t:assert_eq(take(s, 4), "more")
  end)

test("closing a file closes its tails", function(t)
  local p = path_of("owner")
  vm:write_file(p, "")
  local f = vm:open_file(p, {read = true})
  local s = f:tail_stream()
  f:close()
  t:assert_eq(s:next(), nil)
  t:assert_eq(s:eof(), true)
  raises(t, "stream closed", function() s:expect("x") end)
end)

test("what cannot seek starts where it is, or not at all", function(t)
  local p = path_of("seek")
  sh("mkfifo " .. p)
  raises(t, "Illegal seek", function() vm:tail_file(p, {start = 5}) end)
  raises(t, "Illegal seek", function() vm:tail_file(p, {start = -5}) end)
  for _, start in ipairs({"beginning", 0, "end"}) do
    vm:tail_file(p, {start = start}):close()
  end
end)

-- What it follows -----------------------------------------------------------

test("each write to a file is a frame of its own", function(t)
  local p = path_of("frames")
  vm:write_file(p, "")
  local append = appender(p)
  local s = vm:tail_file(p)
  local n = 0
  for _, piece in ipairs({"a", "bb", "ccc"}) do
    append(piece)
    n = n + #piece
    settle({stream = s}, n)
  end
  t:assert_eq(s:drain(0), {"a", "bb", "ccc"})
end)

test("a file truncated and written anew is followed from its new start",
  function(t)
    local p = path_of("cut")
    vm:write_file(p, "a long first content\n")
    local s = vm:tail_file(p, {start = "beginning"})
    take(s, 21)
    vm:write_file(p, "short\n")
    t:assert_eq(take(s, 6), "short\n")
    vm:write_file(p, "x\n")
    t:assert_eq(take(s, 2), "x\n")
    assert_only(t, s, "", appender(p))
  end)

test("a file truncated to 0 is followed past its old size", function(t)
  local p = path_of("zero")
  vm:write_file(p, "0123456789")
  local s = vm:tail_file(p)
  sh("truncate -s 0 " .. p)
  -- A call to the agent: it has seen the file empty.
  vm:stat(p)
  local append = appender(p)
  append(("y"):rep(30))
  t:assert_eq(take(s, 30), ("y"):rep(30))
end)

test("a file truncated behind the reader's back is read from its start",
  function(t)
    local p = path_of("behind")
    vm:write_file(p, ("x"):rep(1000))
    local s = vm:tail_file(p, {start = 4000})
    sh("truncate -s 10 " .. p)
    t:assert_eq(take(s, 10), ("x"):rep(10))
  end)

test("a hole is delivered as zeros", function(t)
  local p = path_of("hole")
  vm:write_file(p, "a")
  local s = vm:tail_file(p)
  local f = vm:open_file(p, {write = true})
  f:seek(100000, "set")
  f:write("b")
  t:assert_eq(take(s, 100000) == ("\0"):rep(99999) .. "b", true)
  sh("truncate -s 100005 " .. p)
  t:assert_eq(take(s, 4), ("\0"):rep(4))
end)

test("the open file is followed, not its path: renamed and replaced",
  function(t)
    local p = path_of("moved")
    vm:write_file(p, "")
    local append = appender(p)
    local s = vm:tail_file(p)
    vm:rename(p, p .. ".1")
    vm:write_file(p, "of the new file")
    append("of the old file")
    t:assert_eq(take(s, 15), "of the old file")
    assert_only(t, s, "", append)
  end)

test("a deleted file is followed as long as it is written", function(t)
  local p = path_of("gone")
  vm:write_file(p, "")
  local append = appender(p)
  local s = vm:tail_file(p)
  vm:unlink(p)
  append("still here")
  t:assert_eq(take(s, 10), "still here")
end)

test("a link is followed to its file", function(t)
  local p = path_of("target")
  vm:write_file(p, "")
  sh(("ln -s %s %s.l"):format(p, p))
  local s = vm:tail_file(p .. ".l")
  assert_only(t, s, "", appender(p))
  t:assert_eq(s:detail(), p .. ".l")
end)

test("files of procfs and sysfs are followed as they change", function(t)
  local s = vm:tail_file("/proc/version", {start = "beginning"})
  s:expect("Linux version", LONG)
  s = vm:tail_file("/sys/kernel/mm/transparent_hugepage/enabled",
    {start = "beginning"})
  s:expect("never", LONG)
  -- It grows by a line for each mount.
  s = vm:tail_file("/proc/self/mounts")
  local dir = path_of("mount")
  vm:mkdir(dir)
  sh("mount -t tmpfs conformance " .. dir)
  s:expect("conformance " .. dir, LONG)
  sh("umount " .. dir)
end)

test("a file of procfs whose reads wait is followed as it grows",
  function(t)
    for _, open in ipairs({
      function() return vm:tail_file("/proc/kmsg") end,
      function()
        return vm:open_file("/proc/kmsg", {read = true}):tail_stream()
      end,
    }) do
      local s = open()
      vm:write_file("/dev/kmsg", "said to the kernel\n")
      s:expect("said to the kernel", LONG)
      s:close()
    end
  end)

test("a FIFO is followed from its first writer to its last", function(t)
  local p = path_of("fifo")
  sh("mkfifo " .. p)
  local s = vm:tail_file(p)
  t:assert_eq(s:next(0.05), nil)
  t:assert_eq(s:eof(), false)
  sh("echo one >" .. p)
  t:assert_eq(s:read_until("one\n", LONG), "one\n")
  t:assert_eq(s:next(LONG), nil)
  t:assert_eq(s:eof(), true)
end)

test("the kernel's log is followed record by record, from its end",
  function(t)
    vm:write_file("/dev/kmsg", "said before\n")
    local s = vm:tail_file("/dev/kmsg")
    vm:write_file("/dev/kmsg", "said after\n")
    local got = s:read_until("said after\n", LONG)
    t:assert(not got:find("said before", 1, true), got)
    s = vm:tail_file("/dev/kmsg", {start = "beginning"})
    s:expect("Linux version", LONG)
    s:expect("said before", LONG)
    s:expect("said after", LONG)
  end)

test("an unread log of the kernel neither breaks nor ends", function(t)
  local s = vm:tail_file("/dev/kmsg", {start = "beginning"})
  -- More than any window, and than the kernel's ring holds.
  local line = ("-"):rep(900)
  sh(("i=0; while [ $i -lt 2000 ]; do echo $i %s; i=$((i+1)); done "
    .. ">/dev/kmsg"):format(line))
  vm:write_file("/dev/kmsg", "the last of them\n")
  s:expect("the last of them", 200)
end)

test("a device without an end is read as far as it is asked for",
  function(t)
    local s = vm:tail_file("/dev/zero")
    t:assert_eq(take(s, 300000):find("[^%z]"), nil)
    t:assert_eq(vm:stat("/dev/zero").entry_type, "char_device")
    s:close()
  end)

test("a terminal is followed, and its hang-up is an end", function(t)
  local AT_FDCWD, O_RDWR, O_NOCTTY = -100, 2, 256
  local r = vm:syscall(SYS.openat, {args = {AT_FDCWD, 0, O_RDWR + O_NOCTTY},
    bufs = {"/dev/ptmx\0"}, ptrs = {1}})
  t:assert(r.ret >= 0)
  local master = r.ret
  local TIOCSPTLCK, TIOCGPTN = 0x40045431, 0x80045430
  t:assert_eq(vm:syscall(SYS.ioctl, {args = {master, TIOCSPTLCK, 0},
    bufs = {("\0"):rep(4)}, ptrs = {2}}).ret, 0)
  r = vm:syscall(SYS.ioctl, {args = {master, TIOCGPTN, 0},
    bufs = {("\0"):rep(4)}, ptrs = {2}})
  local slave = "/dev/pts/" .. string.unpack("<i4", r.out_bufs[1])
  local p = vm:run_async(("exec <%s >%s 2>&1; echo prompt; read x; "
    .. "echo got $x"):format(slave, slave))
  local s = vm:fd_stream(master)
  s:expect("prompt", LONG)
  raw_write(master, "typed\n")
  s:expect("got typed", LONG)
  p:wait(LONG)
  while s:next(LONG) do end
  t:assert_eq(s:eof(), true)
  vm:syscall(SYS.close, master)
end)

-- File descriptors ----------------------------------------------------------

test("fd_stream reads a pipe by its number, to its end", function(t)
  local r, w = fd_pair(SYS.pipe2, {0, 0}, 0)
  local s = vm:fd_stream(r)
  t:assert_eq({s:kind(), s:detail()}, {"fd_stream", "fd " .. r})
  raw_write(w, "through a pipe")
  t:assert_eq(take(s, 14), "through a pipe")
  vm:syscall(SYS.close, w)
  t:assert_eq(s:next(LONG), nil)
  t:assert_eq(s:eof(), true)
  vm:syscall(SYS.close, r)
end)

test("fd_stream reads sockets, and keeps datagrams whole", function(t)
  local AF_UNIX, STREAM, DGRAM = 1, 1, 2
  local a, b = fd_pair(SYS.socketpair, {AF_UNIX, STREAM, 0, 0}, 3)
  local s = vm:fd_stream(a)
  raw_write(b, "through a socket")
  t:assert_eq(take(s, 16), "through a socket")
  vm:syscall(SYS.close, b)
  t:assert_eq(s:next(LONG), nil)
  t:assert_eq(s:eof(), true)
  vm:syscall(SYS.close, a)

  a, b = fd_pair(SYS.socketpair, {AF_UNIX, DGRAM, 0, 0}, 3)
  s = vm:fd_stream(a)
  raw_write(b, "one")
  settle({stream = s}, 3)
  raw_write(b, "two two")
  settle({stream = s}, 10)
  t:assert_eq(s:drain(0), {"one", "two two"})
  s:close()
  vm:syscall(SYS.close, a)
  vm:syscall(SYS.close, b)
end)

test("no datagram is cut, however slow its reader", function(t)
  local AF_UNIX, DGRAM = 1, 2
  local a, b = fd_pair(SYS.socketpair, {AF_UNIX, DGRAM, 0, 0}, 3)
  local s = vm:fd_stream(a)
  local piece = ("d"):rep(40000) .. "\n"
  local sent = 0
  -- Until nothing more goes in: neither side reads.
  local MSG_DONTWAIT, SENDTO = 0x40, 44
  local idle = 0
  while idle < 20 do
    local r = vm:syscall(SENDTO, {args = {b, 0, #piece, MSG_DONTWAIT, 0, 0},
      bufs = {piece}, ptrs = {1}})
    if r.ret == #piece then
      sent, idle = sent + 1, 0
    else
      idle = idle + 1
    end
  end
  vm:syscall(SYS.close, b)
  t:assert(sent * #piece > 256 * 1024, "only " .. sent)
  for i = 1, sent do
    t:assert_eq(#s:read_until("\n", LONG), #piece, "datagram " .. i)
  end
  s:close()
  vm:syscall(SYS.close, a)
end)

test("fd_stream reads an eventfd", function(t)
  local r = vm:syscall(SYS.eventfd2, 0, 0)
  t:assert(r.ret >= 0)
  local s = vm:fd_stream(r.ret)
  for i = 1, 3 do
    raw_write(r.ret, string.pack("<I8", i))
    t:assert_eq(take(s, 8), string.pack("<I8", i))
  end
  s:close()
  vm:syscall(SYS.close, r.ret)
end)

test("fd_stream of a file's fd reads on from its position, to its end",
  function(t)
    local p = path_of("fd")
    vm:write_file(p, "0123456789")
    local f = vm:open_file(p, {read = true})
    f:read(4)
    local s = vm:fd_stream(f:fd())
    t:assert_eq(take(s, 6), "456789")
    t:assert_eq(s:next(LONG), nil)
    t:assert_eq(s:eof(), true)
  end)

test("fd_stream lives on after its file is closed", function(t)
  local p = path_of("fifo")
  sh("mkfifo " .. p)
  local f = vm:open_file(p, {read = true})
  local s = vm:fd_stream(f)
  local w = vm:open_file(p, {write = true})
  f:close()
  w:write("late")
  t:assert_eq(take(s, 4), "late")
end)

-- Errors --------------------------------------------------------------------

test("opening an absent path raises with the guest's words", function(t)
  local err = raises(t, "No such file or directory", function()
    vm:tail_file("/tmp/absent")
  end)
  t:assert_contains(err, "/tmp/absent")
  t:assert_match(err, "tail%.test%.lua:%d+: vm:tail_file: ")
end)

test("a directory raises", function(t)
  raises(t, "Is a directory", function() vm:tail_file("/tmp") end)
  raises(t, "Not a directory", function() vm:tail_file("/dev/null/x") end)
end)

test("what may not be read raises", function(t)
  local p = sh("find /sys/bus/pci -name rescan | head -1"):gsub("\n", "")
  raises(t, "Permission denied", function() vm:tail_file(p) end)
  raises(t, "Permission denied", function() vm:tail_file(p, {start = 0}) end)
end)

test("an fd that is none raises", function(t)
  raises(t, "Bad file descriptor", function() vm:fd_stream(987) end)
  raises(t, "fd", function() vm:fd_stream(-1) end)
  raises(t, "fd", function() vm:fd_stream("x") end)
end)

test("an fd that cannot be read breaks the stream with the guest's words",
  function(t)
    local f = vm:open_file(path_of("wo"), {write = true, create = true})
    local s = vm:fd_stream(f)
    raises(t, "Bad file descriptor", function() s:expect("x", LONG) end)
    raises(t, "Bad file descriptor", function() s:next(LONG) end)
    s:close()
    t:assert_eq(s:next(), nil)
  end)

test("a call on a closed file or process raises", function(t)
  local f = vm:open_file("/etc/passwd", {read = true})
  f:close()
  raises(t, "file is closed", function() f:tail_stream() end)
  raises(t, "file is closed", function() vm:fd_stream(f) end)
end)

-- Output of processes -------------------------------------------------------

test("output replays from byte 0, whenever it is opened", function(t)
  local p = vm:run_async("echo out; echo err >&2; exit 3")
  t:assert_eq(p:wait(LONG).exit_code, 3)
  t:assert_eq(p:stdout_stream():read_until("out\n", LONG), "out\n")
  t:assert_eq(p:stderr_stream():read_until("err\n", LONG), "err\n")
end)

test("output opened twice gives two independent readers", function(t)
  local p = vm:run_async("echo one; read x; echo two")
  local a = p:stdout_stream()
  a:expect("one\n", LONG)
  local b = p:stdout_stream()
  a:close()
  p:stdin_write("\n")
  t:assert_eq(b:read_until("two\n", LONG), "one\ntwo\n")
  local c = p:stdout_stream()
  t:assert_eq(c:read_until("two\n", LONG), "one\ntwo\n")
end)

test("output ends when the last writer has gone", function(t)
  local p = vm:run_async("echo x; exit 0")
  local s = p:stdout_stream()
  t:assert_eq(take(s, 2), "x\n")
  t:assert_eq(s:next(LONG), nil)
  t:assert_eq(s:eof(), true)
  s = p:stderr_stream()
  t:assert_eq(s:next(LONG), nil)
  t:assert_eq(s:eof(), true)
end)

-- Back-pressure -------------------------------------------------------------

-- A program that says, in a file, how many blocks of 64 KiB it has written.
local COUNTING = [[
i=0
while [ $i -lt %d ]; do
  dd if=%s bs=65536 count=1 skip=$i 2>/dev/null %s
  i=$((i+1))
  echo $i >%s
done
]]

-- The number in path, once it is that large and has not changed for a while.
local function settled_count(path, least)
  local last, since = nil, now()
  wait_until(function()
    local ok, text = pcall(vm.read_file, vm, path)
    local n = ok and tonumber(text)
    if n ~= last then last, since = n, now() end
    return last and last >= least and now() - since > 2
  end, {timeout = 200, interval = 0.1, desc = "the writer stands still"})
  return last
end

local function agent_rss_kib()
  local pid = vm:syscall(SYS.getpid).ret
  return tonumber(vm:read_file(("/proc/%d/status"):format(pid))
    :match("VmRSS:%s*(%d+)"))
end

local function host_rss_kib()
  local f = assert(io.open("/proc/self/status"))
  local text = f:read("*a")
  f:close()
  return tonumber(text:match("VmRSS:%s*(%d+)"))
end

-- 24 MiB that are nowhere alike.
local BLOCKS = 384
sh("dd if=/dev/urandom of=/tmp/blocks bs=65536 count=" .. BLOCKS)
local digest = sh("sha256sum /tmp/blocks"):match("^%x+")

-- What came out is what went in, by the guest's own reckoning.
local function assert_digest(t, s)
  local sums = vm:run_async("sha256sum")
  local n = 0
  while true do
    local frame = s:next(LONG)
    if not frame then break end
    n = n + #frame
    sums:stdin_write(frame)
  end
  t:assert_eq(n, BLOCKS * 65536)
  sums:close_stdin()
  t:assert_eq(sums:stdout_stream():read_until("-", LONG):match("^%x+"),
    digest)
end

local function assert_backpressure(t, s, counter, least, most)
  local host, agent = host_rss_kib(), agent_rss_kib()
  local stood = settled_count(counter, least)
  t:assert(stood < most, "the writer got to block " .. stood)
  t:assert(host_rss_kib() - host < 8192, "the host's memory grew")
  t:assert(agent_rss_kib() - agent < 12288, "the agent's memory grew")
  -- Nobody else is held up.
  t:assert_eq(vm:stat("/tmp").entry_type, "directory")
  local other = vm:run_async("head -c 1000000 /dev/zero")
  t:assert_eq(#take(other:stdout_stream(), 1000000), 1000000)
  t:assert_eq(vm:run("echo yes").stdout, "yes\n")
  t:assert(settled_count(counter, stood) < most)
  assert_digest(t, s)
end

test("an unread output stops its process, and loses nothing", function(t)
  local n = path_of("count")
  local p = vm:run_async(COUNTING:format(BLOCKS, "/tmp/blocks", "", n))
  local s = p:stdout_stream()
  -- 8 MiB are kept in the guest, besides pipe and windows.
  assert_backpressure(t, s, n, 120, 160)
  wait_until(function() return p:status() == "exited" end, {timeout = LONG})
end)

test("an output that nobody opens does not stop its process", function(t)
  local n = path_of("count")
  local p = vm:run_async(COUNTING:format(BLOCKS, "/tmp/blocks", "", n))
  wait_until(function() return p:status() == "exited" end, {timeout = LONG})
  t:assert_eq(settled_count(n, 1), BLOCKS)
  t:assert_eq(p:wait(LONG).truncated, true)
  raises(t, "bytes were dropped, the newest", function()
    p:stdout_stream()
  end)
end)

test("once output was dropped, a stream from byte 0 is refused", function(t)
  local p = vm:run_async("cat /tmp/blocks; read x")
  local s = p:stdout_stream()
  take(s, BLOCKS * 65536)
  raises(t, "bytes were dropped, the newest", function()
    p:stdout_stream()
  end)
end)

test("an unread FIFO stops its writer, and loses nothing", function(t)
  local n, p = path_of("count"), path_of("fifo")
  sh("mkfifo " .. p)
  local s = vm:tail_file(p)
  vm:run_async("{ " .. COUNTING:format(BLOCKS, "/tmp/blocks", ">&3", n)
    .. "} 3>" .. p)
  assert_backpressure(t, s, n, 2, 20)
end)

test("an unread tail of a file is caught up with later", function(t)
  local p = path_of("slow")
  vm:write_file(p, "")
  local s = vm:tail_file(p)
  local host, agent = host_rss_kib(), agent_rss_kib()
  sh(("cat /tmp/blocks >%s"):format(p))
  vm:stat(p)
  t:assert(s:bytes() <= 1024 * 1024, "all came at once")
  t:assert(host_rss_kib() - host < 8192, "the host's memory grew")
  t:assert(agent_rss_kib() - agent < 8192, "the agent's memory grew")
  local sums = vm:run_async("head -c " .. BLOCKS * 65536 .. " | sha256sum")
  local got = 0
  while got < BLOCKS * 65536 do
    local frame = s:next(LONG)
    got = got + #frame
    sums:stdin_write(frame)
  end
  t:assert_eq(sums:stdout_stream():read_until("-", LONG):match("^%x+"),
    digest)
end)

test("an endless device that nobody reads delays nothing", function(t)
  local streams = {}
  for i = 1, 8 do streams[i] = vm:tail_file("/dev/zero") end
  local agent = agent_rss_kib()
  t:assert_eq(vm:run("echo yes").stdout, "yes\n")
  local p = path_of("beside")
  vm:write_file(p, "")
  local s = vm:tail_file(p)
  appender(p)("beside")
  t:assert_eq(take(s, 6), "beside")
  for _, z in ipairs(streams) do
    t:assert(z:bytes() <= 1024 * 1024, "more than a window came")
  end
  t:assert(agent_rss_kib() - agent < 8192, "the agent's memory grew")
end)

-- What became of it ---------------------------------------------------------

test("a tail of a guest that is shut down says why it ended", function(t)
  local other = provium:vm("ending"):boot()
  other:write_file("/tmp/x", "kept")
  local s = other:tail_file("/tmp/x", {start = "beginning"})
  settle({stream = s}, 4)
  other:shutdown()
  t:assert_eq(s:next(0), "kept")
  raises(t, "shut down", function() s:expect("x", LONG) end)
  s:close()
  t:assert_eq(s:next(), nil)
  t:assert_eq(s:eof(), true)
end)

test("streams are counted until they are closed", function(t)
  local p = path_of("counted")
  vm:write_file(p, "")
  for _ = 1, 300 do vm:tail_file(p):close() end
  local fds = function()
    local pid = vm:syscall(SYS.getpid).ret
    return #vm:listdir(("/proc/%d/fd"):format(pid))
  end
  local before = fds()
  for _ = 1, 50 do vm:tail_file(p):close() end
  wait_until(function() return fds() <= before end, {timeout = LONG})
end)

-- Whatever the calls, the bytes are those ----------------------------------

local tails = {}
for _, kind in ipairs(sources.kinds) do
  if kind.whole then tails[#tails + 1] = kind end
end

test("frames out are bytes in, whatever is called", function(t)
  local seed = tonumber(os.getenv("PROVIUM_SEED") or os.time())
  t:log("seed " .. seed)
  local state = seed % 2147483647
  local function random(n)
    state = (state * 48271) % 2147483647
    return state % n
  end
  for round = 1, 6 do
    local kind = tails[random(#tails) + 1]
    local src = kind.open(vm)
    local s, sent, got = src.stream, {}, {}
    local total, done = 0, false
    local function get(bytes)
      if bytes then got[#got + 1] = bytes end
    end
    local calls = {
      function() get(s:next(0.01)) end,
      function() get(s:next(0)) end,
      function() for _, f in ipairs(s:drain(0.01)) do get(f) end end,
      function() for _, f in ipairs(s:drain(0)) do get(f) end end,
      function()
        local ok, bytes = pcall(s.read_until, s, string.char(random(256)),
          0.01)
        if ok then get(bytes) end
      end,
      function() pcall(s.expect, s, "not there \0 at all", 0.01) end,
      function() pcall(s.expect, s, {("x"):rep(90000), "not this"}, 0) end,
    }
    provium.all(
      function()
        for _ = 1, 30 do
          local n = random(4) == 0 and random(70000) or random(300)
          local piece = {}
          for i = 1, n do piece[i] = string.char(random(256)) end
          piece = table.concat(piece)
          src.feed(piece)
          sent[#sent + 1] = piece
          total = total + n
        end
        done = true
      end,
      function()
        while not done or #table.concat(got) < total do
          calls[random(#calls) + 1]()
        end
      end)
    t:assert(table.concat(got) == table.concat(sent),
      ("seed %d, round %d, %s: the bytes differ"):format(seed, round,
        kind.name))
    s:close()
  end
end)
