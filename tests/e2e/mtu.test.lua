-- Sizes of frames: what fits, what is cut into fragments, jumbo frames.
provium.timeout = 120

local lan, far = provium:bridge("lan"), provium:bridge("far")
local a, b, c = provium:vm("a"), provium:vm("b"), provium:vm("c")
lan:attach({ a, b })
far:attach(c)
lan:route(far)
provium:boot()

local HEADERS = 20 + 8 -- of IPv4 and ICMP, or UDP
local ETHERNET = 14
local EMSGSIZE = 90

local function ip(vm)
  return vm:nic(vm == c and "far" or "lan"):ip()
end

local function set_mtu(mtu, ...)
  for _, vm in ipairs({ ... }) do
    vm:run("ip link set eth0 mtu " .. mtu, { check = true })
  end
end

-- {length, offset of the fragment} of the frames of IPv4 that pass the bridge.
local function frames(bridge, fn)
  local cap = bridge:capture({ filter = "icmp or udp" })
  fn()
  local found = {}
  for p in cap:packets(0.2) do
    local fragment = provium:unpack(">I2", p.data, ETHERNET + 7)
    found[#found + 1] = { p.len, fragment % 0x2000 * 8 }
  end
  cap:close()
  return found
end

local function ping(from, to, size)
  return from:run(("ping -c 1 -w 30 -s %d %s"):format(size, ip(to)))
end

-- A datagram with the bit that forbids fragments: 0 or the guest's errno.
local function send_whole(vm, to, size)
  local SOCKET, CONNECT, SENDTO, SETSOCKOPT, CLOSE = 41, 42, 44, 54, 3
  local fd = vm:syscall(SOCKET, 2, 2, 0).ret
  vm:syscall(SETSOCKOPT, { args = { fd, 0, 10, 0, 4 }, -- IP_MTU_DISCOVER: DO
    bufs = { string.pack("<I4", 2) }, ptrs = { 3 } })
  local address = string.pack("<I2>I2", 2, 9)
  for byte in ip(to):gmatch("%d+") do
    address = address .. string.char(byte)
  end
  address = address .. ("\0"):rep(8)
  vm:syscall(CONNECT, { args = { fd, 0, #address }, bufs = { address },
    ptrs = { 1 } })
  local r = vm:syscall(SENDTO, { args = { fd, 0, size, 0, 0, 0 },
    bufs = { ("x"):rep(size) }, ptrs = { 1 } })
  vm:syscall(CLOSE, fd)
  return r.errno
end

-- Both ways of one that fits to the byte, and what comes of one byte more.
local function check_mtu(t, from, to, mtu)
  local fits = mtu - HEADERS
  local whole = { mtu + ETHERNET, 0 }
  t:assert_eq(frames(lan, function()
    t:assert(ping(from, to, fits):ok())
  end), { whole, whole })
  local first = math.floor((mtu - 20) / 8) * 8 -- of what is behind the header
  local cut = { first + 20 + ETHERNET, 0 }
  local rest = { mtu - 20 + 1 - first + 20 + ETHERNET, first }
  t:assert_eq(frames(lan, function()
    t:assert(ping(from, to, fits + 1):ok())
  end), { cut, rest, cut, rest })
  local sent = frames(lan, function()
    t:assert_eq(send_whole(from, to, fits), 0)
    t:assert_eq(send_whole(from, to, fits + 1), EMSGSIZE)
  end)
  t:assert_eq(sent[1], whole)
end

test("frames of Ethernet's own length", function(t)
  t:assert_eq(a:read_file("/sys/class/net/eth0/mtu"), "1500\n")
  check_mtu(t, a, b, 1500)
end)

test("jumbo frames", function(t)
  set_mtu(9000, a, b)
  check_mtu(t, a, b, 9000)
end)

test("the longest that Linux sends", function(t)
  set_mtu(65535, a, b)
  t:assert(ping(a, b, 65535 - HEADERS):ok())
end)

test("TCP with jumbo frames", function(t)
  set_mtu(9000, a, b)
  a:run("head -c 5000000 /dev/urandom > /tmp/data", { check = true })
  local server = b:run_async("nc -l -p 5000 | md5sum")
  wait_until(function()
    return b:run("netstat -ltn | grep -q :5000"):ok()
  end, { timeout = 60, desc = "the listener" })
  local cap = lan:capture({ filter = "tcp and greater 8000", snaplen = 64 })
  a:run("nc -w 60 " .. ip(b) .. " 5000 < /tmp/data", { check = true })
  t:assert_eq(server:wait(60).stdout, a:run("md5sum < /tmp/data").stdout)
  t:assert(cap:next(5), "no frame was long") -- the header of the file
  local n = 0
  for p in cap:packets(0) do
    n = n + 1
    t:assert(p.len <= 9014, p.len)
  end
  t:assert(n > 100, n)
end)

test("jumbo frames pass the gateways of a route", function(t)
  set_mtu(9000, a, c)
  t:assert(ping(a, c, 9000 - HEADERS):ok())
end)

test("a long frame is under the rules of the bridge", function(t)
  set_mtu(9000, a, b)
  lan:bandwidth_limit({ from = a, to = b, bps = 1e6 })
  -- 9014 bytes at 1 Mbit/s: 72 ms.
  local r = ping(a, b, 9000 - HEADERS)
  t:assert(r:ok())
  local ms = tonumber(r.stdout:match("time=([%d.]+) ms"))
  t:assert(ms >= 9014 * 8 / 1e3, ms)
  lan:reset()
end)
