-- Bridges of the kernel's, seen from the guests and from the host, which here
-- is a network namespace made for this: knet.sh. What every bridge does, the
-- suites of tests/e2e test on these, too.
local await_listener = require("listener").await

local lan = provium:bridge("lan", { network = "kernel" })
local a, b, c = provium:vm("a", { spare_nics = 1 }), provium:vm("b"),
  provium:vm("c")
lan:attach({ a, b, c })
provium:boot()

for _, vm in ipairs({ a, b, c }) do
  vm:run("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
end

local function raises(t, text, fn)
  t:assert_contains(t:assert_raises(fn), text)
end

local function ip(vm)
  return lan:nic(vm):ip()
end

local function reaches(from, to)
  return from:run("ping -c 1 -w 20 " .. to):ok()
end

local function is_cut_off(from, to)
  return not from:run("ping -c 2 -i 0.2 -W 1 " .. to):ok()
end

-- What a command of the host's prints.
local function host(command)
  local f = assert(io.popen(command .. " 2>&1"))
  local text = f:read("*a")
  f:close()
  return text
end

-- The interfaces of one letter, in the order in which they were made.
local function interfaces(kind)
  local found = {}
  for name in host("ip -o link"):gmatch("%d+: (pv%x%x%x%x%x%x" .. kind .. "%d+):") do
    found[#found + 1] = name
  end
  return found
end

-- Every qdisc but what an interface has by itself.
local function qdiscs()
  local found = {}
  for line in host("tc qdisc show"):gmatch("[^\n]+") do
    if not line:find("noqueue") and not line:find(" 0: ") then
      found[#found + 1] = line
    end
  end
  return found
end

local port = 5000
-- The seconds that it takes to bring so many bytes by TCP.
local function send(t, from, to, bytes)
  port = port + 1
  local server = to:run_async("nc -l -p " .. port .. " | wc -c")
  await_listener(to, port)
  local r = from:run("head -c " .. bytes .. " /dev/zero | nc " .. ip(to) .. " "
    .. port, { check = true, timeout = 120 })
  t:assert_eq(server:wait(120).stdout, bytes .. "\n")
  return r.duration
end

-- The packets of a file that tcpdump has written.
local function packets_of(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read("*a")
  f:close()
  local found, at = {}, 25
  while at + 16 <= #text + 1 do
    local n = text:byte(at + 8) + text:byte(at + 9) * 256
    found[#found + 1] = text:sub(at + 16, at + 15 + n)
    at = at + 16 + n
  end
  return found
end

test("it is one of the kernel's", function(t)
  local bridges = interfaces("b")
  t:assert_eq(#bridges, 1)
  t:assert_eq(#interfaces("t"), 4) -- three guests, and the trunk
  local ports = host("bridge -o link show"):gsub("[^\n]+", function(line)
    return line:find("master " .. bridges[1], 1, true) and "x" or ""
  end)
  t:assert_eq(#ports:gsub("[^x]", ""), 4)
  t:assert_eq(qdiscs(), {})
  t:assert_eq(#interfaces("i"), 0)
  t:assert_eq(host("ip -o address show dev " .. bridges[1]), "")
end)

test("guests, their names and their gateway are there", function(t)
  for _, name in ipairs({ "b", "c.lan", "10.77.1.1" }) do
    t:assert(reaches(a, name), name)
  end
  t:assert(send(t, a, b, 2000000))
end)

test("the host is not on it", function(t)
  host("ip address add 10.77.1.99/32 dev lo")
  t:assert(is_cut_off(a, "10.77.1.99"))
  host("ip address del 10.77.1.99/32 dev lo")
end)

test("a frame may be as long as Ethernet's", function(t)
  a:run("ping -c 3 -w 20 -s 1472 b", { check = true })
end)

test("a partition parts two and no others", function(t)
  t:assert_eq(lan:partition(a, b), lan)
  t:assert(lan:is_partitioned(a, b))
  t:assert(is_cut_off(a, ip(b)))
  t:assert(reaches(a, ip(c)))
  t:assert(reaches(b, ip(c)))
  lan:unpartition(a, b)
  t:assert(reaches(a, ip(b)))
end)

test("a partition may be of one direction", function(t)
  lan:partition({ from = a, to = b })
  local cap = lan:nic(b):capture()
  t:assert(is_cut_off(b, ip(a)))
  local asked, answered = 0, 0
  for p in cap:packets(0) do
    if p.data:sub(13, 14) == "\8\0" and p.data:byte(24) == 1 then
      asked = asked + (p.data:byte(35) == 8 and 1 or 0)
      answered = answered + (p.data:byte(35) == 0 and 1 or 0)
    end
  end
  cap:close()
  t:assert(asked > 0)
  t:assert_eq(answered, 0)
  lan:unpartition({ from = a, to = b })
  t:assert(reaches(b, ip(a)))
end)

test("three fall apart and come together", function(t)
  lan:partition_all()
  for _, pair in ipairs({ { a, b }, { b, c }, { c, a } }) do
    t:assert(is_cut_off(pair[1], ip(pair[2])))
  end
  lan:restore_all()
  for _, pair in ipairs({ { a, b }, { b, c }, { c, a } }) do
    t:assert(reaches(pair[1], ip(pair[2])))
  end
end)

test("an isolated guest reaches nobody but the gateway", function(t)
  lan:isolate(b)
  t:assert(lan:is_isolated(b))
  t:assert(is_cut_off(b, ip(a)))
  t:assert(is_cut_off(c, ip(b)))
  t:assert(reaches(b, "10.77.1.1"))
  t:assert(reaches(a, ip(c)))
  lan:unisolate(b)
  t:assert(reaches(b, ip(a)))
end)

local BYTES, BPS = 300000, 1e6
-- The bytes that the pipes on the guests' TAPs have let through.
local function piped_bytes()
  local sum = 0
  for _, tap in ipairs(interfaces("t")) do
    local classes = host("tc -s class show dev " .. tap)
    for n in classes:gmatch("Sent (%d+) bytes") do
      sum = sum + tonumber(n)
    end
  end
  return sum
end

-- At least as long as the pipe takes; its last 100 ms may be in the queue.
local function is_piped(t, from, to, what)
  local s = send(t, from, to, BYTES)
  t:assert(s >= BYTES * 8 / BPS - 0.2, what .. ": it took " .. s .. " s")
end

test("a pipe may be of all, of what one sends or gets, or of two", function(t)
  lan:bandwidth_limit(BPS)
  t:assert_eq(lan:bandwidth_bps(), BPS)
  t:assert_eq(#interfaces("i"), 1)
  is_piped(t, a, b, "all")
  t:assert(reaches(a, "10.77.1.1"))
  lan:bandwidth_limit(0)
  t:assert_eq(#interfaces("i"), 0)
  lan:bandwidth_limit({ from = a, bps = BPS })
  is_piped(t, a, b, "from a")
  lan:bandwidth_limit({ from = a, bps = 0 })
  lan:bandwidth_limit({ to = b, bps = BPS })
  is_piped(t, a, b, "to b")
  lan:bandwidth_limit({ to = b, bps = 0 })
  lan:bandwidth_limit({ from = a, to = b, bps = BPS })
  local before = piped_bytes()
  is_piped(t, a, b, "from a to b")
  local piped = piped_bytes()
  t:assert(piped - before >= BYTES, piped - before)
  send(t, a, c, BYTES)
  t:assert_eq(piped_bytes() - piped, 0)
  lan:reset()
  t:assert_eq(qdiscs(), {})
  t:assert_eq(lan:bandwidth_bps({ from = a, to = b }), 0)
  send(t, a, b, BYTES)
end)

test("pipes of several rules hold together", function(t)
  lan:bandwidth_limit({ to = b, bps = BPS })
  lan:bandwidth_limit({ from = a, to = b, bps = 8e6 })
  lan:bandwidth_limit({ from = a, bps = 4e6 })
  is_piped(t, a, b, "the narrowest")
  lan:partition(a, c)
  t:assert(is_cut_off(a, ip(c)))
  lan:reset()
  t:assert(reaches(a, ip(c)))
  t:assert_eq(qdiscs(), {})
end)

test("a frame may be lost, with netem or without", function(t)
  lan:drop_rate({ from = a, to = b, p = 100 })
  t:assert(is_cut_off(a, ip(b)))
  t:assert(reaches(a, ip(c)))
  lan:reset()
  t:assert(reaches(a, ip(b)))
end)

test("what the kernel cannot do fails where it is asked for", function(t)
  raises(t, "netem takes no seed", function() lan:seed(1) end)
  if pcall(lan.add_latency, lan, 1) then
    lan:reset()
    t:log("this kernel has netem")
    return
  end
  lan:partition(a, b)
  raises(t, "this kernel has no netem", function() lan:add_latency(5) end)
  raises(t, "this kernel has no netem", function()
    lan:duplicate_rate(5)
  end)
  -- And all is as it was.
  t:assert_eq({ lan:latency_ms(), lan:drop_rate_pct() }, { 0, 0 })
  t:assert(is_cut_off(a, ip(b)))
  t:assert_eq(qdiscs(), {})
  lan:reset()
  t:assert(reaches(a, ip(b)))
end)

test("what is asked for is checked", function(t)
  raises(t, "was made with network \"kernel\"", function()
    provium:bridge("lan", { network = "user" })
  end)
  t:assert_eq(provium:bridge("lan"), lan)
  raises(t, "must be \"user\" or \"kernel\", got \"bridge\"", function()
    provium:bridge("x", { network = "bridge" })
  end)
  provium:bridge("plain", { network = "user" })
  raises(t, "was made with network \"user\"", function()
    provium:bridge("plain", { network = "kernel" })
  end)
end)

-- Runs fn while tcpdump listens to that interface; what both have seen of ICMP.
local function both_capture(t, interface, cap, fn)
  local file = os.tmpname()
  local pid = host(("tcpdump -Z root --immediate-mode -U -s 65535 -i %s -w %s "
    .. "icmp >%s.log 2>&1 & echo $!"):format(interface, file, file)):match("%d+")
  wait_until(function()
    return host("cat " .. file .. ".log"):find("listening on")
  end, { timeout = 20, desc = "tcpdump" })
  fn()
  local ours = {}
  for p in cap:packets(0) do
    ours[#ours + 1] = p.data
  end
  cap:close()
  wait_until(function()
    return #packets_of(file) >= #ours
  end, { timeout = 20, desc = "as many packets of tcpdump's" })
  host("kill " .. pid)
  local theirs = packets_of(file)
  os.remove(file)
  os.remove(file .. ".log")
  return ours, theirs
end

test("a capture is what tcpdump sees", function(t)
  local bridge = interfaces("b")[1]
  local ours, theirs = both_capture(t, bridge,
    lan:capture({ filter = "icmp" }), function()
      a:run("ping -c 5 -i 0.1 -w 20 " .. ip(b), { check = true })
      c:run("ping -c 2 -i 0.1 -w 20 10.77.1.1", { check = true })
    end)
  t:assert_eq(#ours, 14)
  t:assert(table.concat(ours) == table.concat(theirs), "other bytes")
end)

test("a capture of a NIC is what tcpdump sees of its TAP", function(t)
  local tap = interfaces("t")[2] -- the first is the trunk
  local ours, theirs = both_capture(t, tap,
    lan:nic(a):capture({ filter = "icmp" }), function()
      a:run("ping -c 3 -i 0.1 -w 20 " .. ip(b), { check = true })
      c:run("ping -c 2 -i 0.1 -w 20 " .. ip(b), { check = true })
    end)
  t:assert_eq(#ours, 6)
  t:assert(table.concat(ours) == table.concat(theirs), "other bytes")
end)

test("counters are the guest's, over reboots", function(t)
  local nic = lan:nic(c)
  local function of_guest()
    return tonumber(c:run("cat /sys/class/net/eth0/statistics/tx_packets")
      .stdout)
  end
  -- Both counts, of a moment at which no frame left.
  local function counts()
    local ours, its
    repeat
      ours, its = nic:counters().tx_packets, of_guest()
    until nic:counters().tx_packets == ours
    return ours, its
  end
  local first, seen = counts()
  c:run("ping -c 5 -i 0.1 -w 20 " .. ip(a), { check = true })
  local now, seen_now = counts()
  t:assert(now - first >= 5, now - first)
  t:assert_eq(now - first, seen_now - seen)
  c:shutdown()
  local off = nic:counters()
  a:run("arping -c 1 -w 1 -I eth0 10.77.1.99")
  t:assert_eq(nic:counters(), off)
  c:boot()
  t:assert(nic:counters().tx_packets > off.tx_packets)
  c:run("ping -c 1 -w 20 " .. ip(a), { check = true })
end)

test("a link that goes down stops frames", function(t)
  local nic = lan:nic(a)
  nic:disconnect()
  t:assert(is_cut_off(b, ip(a)))
  nic:reconnect()
  t:assert(reaches(b, ip(a)))
end)

test("a route leads to a bridge that is not the kernel's", function(t)
  local wan = provium:bridge("wan", { network = "user" })
  local far = provium:vm("far")
  wan:attach(far)
  far:boot()
  lan:route(wan)
  t:assert(reaches(a, "far"))
  t:assert(reaches(far, "b"))
  lan:isolate(a)
  t:assert(is_cut_off(a, wan:nic(far):ip()))
  lan:reset()
  t:assert(reaches(a, wan:nic(far):ip()))
end)

test("a VM may be on bridges of both kinds", function(t)
  local wan = provium:bridge("wan", { network = "user" })
  local d, e = provium:vm("d"), provium:vm("e")
  lan:attach(d)
  wan:attach({ d, e })
  provium:boot()
  t:assert(reaches(d, "a.lan"))
  t:assert(reaches(d, "e.wan"))
end)

test("a guest that runs is attached, and taken off", function(t)
  local other = provium:bridge("other", { network = "kernel" })
  local d = provium:vm("d")
  other:attach(d)
  d:boot()
  other:attach(a)
  t:assert(reaches(a, "d.other"))
  t:assert(reaches(d, "a"))
  local cap = other:capture({ filter = "icmp" })
  local before = other:nic(a):counters()
  a:run("ping -c 3 -i 0.1 -w 20 -s 1472 " .. other:nic(d):ip(),
    { check = true })
  local n = 0
  for _ in cap:packets(0) do
    n = n + 1
  end
  t:assert_eq(n, 6)
  t:assert(other:nic(a):counters().rx_bytes >= before.rx_bytes + 3 * 1514)
  other:partition(a, d)
  t:assert(is_cut_off(a, other:nic(d):ip()))
  other:reset()
  other:detach(a)
  t:assert(reaches(a, ip(b)))
end)

test("a NIC with a TAP moves to another bridge of the kernel's", function(t)
  local other = provium:bridge("other", { network = "kernel" })
  local plain = provium:bridge("plain", { network = "user" })
  local d, e = provium:vm("d"), provium:vm("e")
  lan:attach(d)
  other:attach(e)
  provium:boot()
  t:assert(reaches(d, "a"))
  lan:detach(d)
  raises(t, "takes only a place on another such bridge", function()
    plain:attach(d)
  end)
  other:attach(d)
  t:assert(reaches(d, "e"))
  t:assert(reaches(e, "d"))
  t:assert(reaches(a, ip(b)))
end)
