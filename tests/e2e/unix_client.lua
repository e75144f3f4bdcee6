-- A client of a unix socket that never waits: the test's own thread serves the
-- other end, so between two calls something of provium's must wait.
local ffi = require("ffi")

ffi.cdef([[
struct provium_test_sockaddr_un { unsigned short family; char path[108]; };
int socket(int domain, int type, int protocol);
int connect(int fd, const void *addr, unsigned int len);
ssize_t send(int fd, const void *p, size_t n, int flags);
ssize_t recv(int fd, void *p, size_t n, int flags);
int shutdown(int fd, int how);
int close(int fd);
]])

local AF_UNIX, SOCK_STREAM, SOCK_CLOEXEC = 1, 1, 524288
local MSG_DONTWAIT, MSG_NOSIGNAL, EAGAIN = 0x40, 0x4000, 11
local SIZE = 65536

local Client = {}
Client.__index = Client

local function connect(path)
  local addr = ffi.new("struct provium_test_sockaddr_un")
  addr.family = AF_UNIX
  ffi.copy(addr.path, path)
  local fd = ffi.C.socket(AF_UNIX, SOCK_STREAM + SOCK_CLOEXEC, 0)
  assert(fd >= 0, "socket")
  if ffi.C.connect(fd, addr, ffi.sizeof(addr)) ~= 0 then
    local errno = ffi.errno()
    ffi.C.close(fd)
    return nil, errno
  end
  return setmetatable({ fd = fd, got = "", buf = ffi.new("char[?]", SIZE) },
    Client)
end

-- Takes what is there into self.got; self.eof tells of the end.
function Client:poll()
  while not self.eof do
    local n = tonumber(ffi.C.recv(self.fd, self.buf, SIZE, MSG_DONTWAIT))
    if n < 0 then
      assert(ffi.errno() == EAGAIN, "recv: errno " .. ffi.errno())
      return self
    end
    self.eof = n == 0
    self.got = self.got .. ffi.string(self.buf, n)
  end
  return self
end

function Client:wait_for(text)
  wait_until(function() return self:poll().got:find(text, 1, true) end,
    { timeout = 60, interval = 0.02, desc = "`" .. text .. "` on the socket" })
end

function Client:wait_eof()
  wait_until(function() return self:poll().eof end,
    { timeout = 60, interval = 0.02, desc = "EOF on the socket" })
end

function Client:send(text)
  local n = tonumber(ffi.C.send(self.fd, text, #text,
    MSG_DONTWAIT + MSG_NOSIGNAL))
  assert(n == #text, "send took " .. n)
end

function Client:shut() ffi.C.shutdown(self.fd, 1) end

function Client:close() ffi.C.close(self.fd) end

return connect
