-- Every kind of stream, opened on something whose bytes a test decides.
--
-- Adding a kind is adding an entry to the list at the end:
--   name       goes in front of the test's name
--   kind       what the stream says of itself
--   closed     what is raised by an expect once it is closed
--   eof        what is raised by an expect at its end
--   ends       whether it can end while its guest runs
--   headed     whether headers come with what is written
--   medium     the name of what many streams hear at once
--   whole      whether a write of a few bytes is one frame
--   open(vm)   a source: {stream=, detail=, feed=, finish=}
-- detail is what the stream says it is of; feed(bytes) is one write in the
-- guest; finish(), where the kind ends, is the end of it.
local ffi = require("ffi")

ffi.cdef([[
struct conformance_timespec { long sec, nsec; };
int clock_gettime(int clock, struct conformance_timespec *ts);
]])

local M = {}

-- Seconds of a clock that nobody sets.
function M.now()
  local ts = ffi.new("struct conformance_timespec")
  ffi.C.clock_gettime(1, ts)
  return tonumber(ts.sec) + tonumber(ts.nsec) / 1e9
end

local count = 0

local function fresh(dir, name)
  count = count + 1
  return ("%s/%s-%d"):format(dir, name, count)
end

-- A source whose bytes are written to an open file of the guest.
local function by_file(writer, stream, detail)
  return {
    stream = stream,
    detail = detail,
    feed = function(bytes) writer:write(bytes) end,
    finish = function() writer:close() end,
  }
end

local function make_fifo(vm, name)
  local path = fresh("/tmp", name)
  vm:run({"mkfifo", path}, {check = true})
  return path
end

local function open_tail_file(vm)
  local path = fresh("/tmp", "tail")
  local f = vm:open_file(path, {append = true, create = true})
  local src = by_file(f, vm:tail_file(path), path)
  src.finish = nil
  return src
end

local function open_tail_fifo(vm)
  local path = make_fifo(vm, "tail-fifo")
  local s = vm:tail_file(path)
  return by_file(vm:open_file(path, {write = true}), s, path)
end

local function open_fd(vm)
  local path = make_fifo(vm, "fd-fifo")
  local reader = vm:open_file(path, {read = true})
  local s = vm:fd_stream(reader)
  return by_file(vm:open_file(path, {write = true}), s,
    "fd " .. reader:fd())
end

local function open_file_tail(vm)
  local path = fresh("/tmp", "file")
  local f = vm:open_file(path, {read = true, write = true, create = true})
  local src = by_file(f, f:tail_stream(), path)
  src.finish = nil
  return src
end

local function open_file_tail_fifo(vm)
  local path = make_fifo(vm, "file-fifo")
  local reader = vm:open_file(path, {read = true})
  local s = reader:tail_stream()
  return by_file(vm:open_file(path, {write = true}), s, path)
end

local function by_process(vm, command, method)
  local p = vm:run_async(command)
  return {
    stream = p[method](p),
    detail = command,
    feed = function(bytes) p:stdin_write(bytes) end,
    finish = function() p:close_stdin() end,
  }
end

local function open_stdout(vm)
  return by_process(vm, "exec cat", "stdout_stream")
end

local function open_stderr(vm)
  return by_process(vm, "exec cat >&2", "stderr_stream")
end

-- The guest's console, with nothing of what was printed before.
local function open_console(vm)
  vm:run("dmesg -n 1; stty -F /dev/console -opost -echo", {check = true})
  local tty = vm:open_file("/dev/console", {write = true})
  local before = vm:console():read()
  local mark = fresh("", "-- mark") .. " --\n"
  tty:write(mark)
  before:expect(mark, 60)
  before:close()
  local src = by_file(tty, vm:console():read(), vm:name())
  -- A restart is the end of what its console has to say.
  src.finish = function() vm:reset() end
  return src
end

local AF_PACKET, SOCK_RAW, ETHERTYPE = 17, 3, "\136\181" -- 0x88b5: private
local SYS_CLOSE, SYS_SOCKET, SYS_SENDTO = 3, 41, 44

-- What one NIC of a bridge sends, without the packets that nobody asked for.
-- Writes are packets: their bytes come with the headers of pcap and Ethernet
-- before them.
local function open_capture(vm, on)
  local lan = provium:bridge("lan")
  local nic = lan:nic(vm)
  local s = (on == "nic" and nic or lan):capture({
    filter = "ether proto 0x88b5",
  })
  -- The file's header is there at once.
  assert(#s:read_until("\1\0\0\0", 60) == 24)
  local eth = vm:listdir("/sys/class/net")
  local mac = nic:mac():gsub("(%x%x):?", function(x)
    return string.char(tonumber(x, 16))
  end)
  local index
  for _, name in ipairs(eth) do
    if name ~= "lo" then
      index = tonumber(vm:read_file("/sys/class/net/" .. name .. "/ifindex"))
    end
  end
  local address = string.pack("<I2", AF_PACKET) .. ETHERTYPE
    .. string.pack("<i4", index) .. "\1\0\0\6" .. ("\255"):rep(6) .. "\0\0"
  return {
    stream = s,
    detail = on == "nic" and vm:name() .. " on lan" or "lan",
    feed = function(bytes)
      local fd = vm:syscall(SYS_SOCKET, AF_PACKET, SOCK_RAW, 0).ret
      local packet = ("\255"):rep(6) .. mac .. ETHERTYPE .. bytes
      local r = vm:syscall(SYS_SENDTO, {args = {fd, 0, #packet, 0, 0,
        #address}, bufs = {packet, address}, ptrs = {1, 4}})
      assert(r.ret == #packet, "errno " .. r.errno)
      vm:syscall(SYS_CLOSE, fd)
    end,
  }
end

-- Boots the VM whose streams are opened.
function M.boot(name)
  local vm = provium:vm(name)
  provium:bridge("lan"):attach(vm)
  return vm:boot()
end

-- Waits until the host has n bytes of the source.
function M.settle(src, n)
  local s = src.stream
  wait_until(function() return s:bytes() >= n end,
    {timeout = 60, interval = 0.005, desc = n .. " bytes delivered"})
end

-- Feeds pieces one by one: each is a frame of its own.
function M.feed_each(src, ...)
  local n = src.stream:bytes()
  for _, piece in ipairs({...}) do
    src.feed(piece)
    n = n + #piece
    M.settle(src, n)
  end
end

-- Ends the stream, and waits until the host knows. Takes nothing.
function M.finish(src)
  local s = src.stream
  src.finish()
  local _, err = pcall(s.expect, s, "\0 never comes \0", 60)
  assert(tostring(err):find("EOF", 1, true), err)
end

M.kinds = {
  {name = "tail_file", kind = "tail_file", open = open_tail_file},
  {name = "tail_file of a FIFO", kind = "tail_file", open = open_tail_fifo,
    ends = true},
  {name = "fd_stream", kind = "fd_stream", open = open_fd, ends = true},
  {name = "file:tail_stream", kind = "file_tail_stream",
    open = open_file_tail},
  {name = "file:tail_stream of a FIFO", kind = "file_tail_stream",
    open = open_file_tail_fifo, ends = true},
  {name = "proc:stdout_stream", kind = "proc_stdout_stream",
    open = open_stdout, ends = true},
  {name = "proc:stderr_stream", kind = "proc_stderr_stream",
    open = open_stderr, ends = true},
  {name = "console:read", kind = "console_stream", open = open_console,
    ends = true, medium = "console", closed = "console closed",
    eof = "console EOF"},
  {name = "bridge:capture", kind = "bridge_capture", open = open_capture,
    medium = "lan", headed = true, closed = "capture closed"},
  {name = "nic:capture", kind = "nic_capture", medium = "lan", headed = true,
    open = function(vm) return open_capture(vm, "nic") end,
    closed = "capture closed"},
}

for _, k in ipairs(M.kinds) do
  -- A console's bytes come as its UART lets them through.
  k.whole = not k.headed and k.kind ~= "console_stream"
  k.exact = not k.headed
  k.closed = k.closed or "stream closed"
  k.eof = k.eof or "stream EOF"
end

return M
