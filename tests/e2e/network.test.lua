-- Networks of real guests: addresses, names, traffic, isolation, lifetimes.
local count = require("captured").count
local lan = provium:bridge("lan")
local wan = provium:bridge("wan")
local a, b, c = provium:vm("a"), provium:vm("b"), provium:vm("c")
lan:attach({ a, b, c })
wan:attach(b)
local alone = provium:vm("alone")
provium:boot()

local function raises(t, text, fn)
  t:assert_contains(t:assert_raises(fn), text)
end

-- The address of each NIC in the guest, by interface.
local function addresses(vm)
  local list = {}
  local out = vm:run("ip -4 -o addr show scope global", { check = true })
  for nic, ip in out.stdout:gmatch("%d+: (%S+)%s+inet ([%d.]+)/24") do
    list[nic] = ip
  end
  return list
end

test("a guest has its address when boot returns", function(t)
  t:assert_eq(addresses(a), { eth0 = a:nic("lan"):ip() })
  t:assert_eq(addresses(b), { eth0 = b:nic("lan"):ip(),
    eth1 = b:nic("wan"):ip() })
  t:assert_eq(a:read_file("/sys/class/net/eth0/address"),
    a:nic("lan"):mac() .. "\n")
  t:assert_eq(a:run("hostname").stdout, "a\n")
end)

test("guests reach each other by name", function(t)
  for _, peer in ipairs({ "b", "b.lan", "c", "c.lan" }) do
    a:run("ping -c 1 -w 30 " .. peer, { check = true })
  end
  local r = a:run("ping -c 1 -w 30 b.lan", { check = true })
  t:assert_contains(r.stdout, "PING b.lan (" .. b:nic("lan"):ip() .. ")")
  b:run("ping -c 1 -w 30 a", { check = true })
end)

test("names of others and unknown ones do not resolve", function(t)
  t:assert_contains(a:run("ping -c 1 nobody").stderr, "bad address")
  t:assert_contains(a:run("ping -c 1 alone").stderr, "bad address")
end)

test("a guest on two bridges knows the names of both", function(t)
  t:assert_eq(b:read_file("/etc/resolv.conf"):match("[^\n]+"),
    "search lan wan")
  local out = b:run("nslookup b.wan", { check = true }).stdout
  t:assert_contains(out, "Address: " .. b:nic("wan"):ip())
  -- c is not on wan, and b does not forward.
  t:assert(not a:run("nslookup b.wan").stdout:find(b:nic("wan"):ip(), 1, true))
end)

test("bridges are isolated from each other", function(t)
  local d = provium:vm("d")
  local other = provium:bridge("other")
  other:attach(d)
  d:boot()
  local before = a:nic("lan"):counters().rx_packets
  t:assert_contains(d:run("ping -c 1 a").stderr, "bad address")
  -- By address there is no way either: its neighbours are not here.
  d:run("ip route del default")
  d:run("ip route add default dev eth0")
  t:assert(not d:run("ping -c 2 -W 1 " .. a:nic("lan"):ip()):ok())
  t:assert(d:nic("other"):counters().tx_packets > 0)
  t:assert(a:run("ping -c 1 -w 30 b"):ok())
  t:assert(a:nic("lan"):counters().rx_packets > before)
end)

test("the gateway answers pings in fragments", function(t)
  for _, size in ipairs({ 1472, 1473, 2952, 9000, 65507 }) do
    local cap = lan:nic(a):capture({ filter = "src 10.77.1.1 and ip[9] == 1" })
    local r = a:run("ping -c 1 -w 30 -s " .. size .. " 10.77.1.1")
    t:assert(r:ok(), size .. ": " .. r.stdout)
    for p in cap:packets(0) do
      t:assert(p.len <= 1514, p.len)
    end
    cap:close()
  end
end)

test("a guest may be the DHCP server of a bridge without DHCP", function(t)
  local bare = provium:bridge("bare", { dhcp = false })
  local server, client = provium:vm("server"), provium:vm("client")
  bare:attach({ server, client })
  lan:attach(server)
  provium.all(function() server:boot() end, function() client:boot() end)
  t:assert_eq(addresses(client), {})
  t:assert_eq(addresses(server), { eth1 = server:nic("lan"):ip() })

  -- Nor does provium ask when a cable comes back.
  local asked = bare:capture({ filter = "udp src port 68" })
  client:nic("bare"):disconnect()
  client:nic("bare"):reconnect()
  t:assert_eq(count(asked), 0)

  -- The gateway hears the client, and keeps silent.
  local ask = "udhcpc -i eth0 -n -q -f -T 1 -s /bin/true -t "
  local cap = bare:capture({ filter = "udp src port 67" })
  client:run("ip link set eth0 up", { check = true })
  t:assert_contains(client:run(ask .. "2").stderr, "no lease")
  t:assert(count(asked) > 0)
  t:assert_eq(count(cap), 0)

  server:write_file("/tmp/udhcpd.conf", "start 10.9.9.7\nend 10.9.9.7\n"
    .. "interface eth0\nlease_file /tmp/leases\n")
  server:run("ip link set eth0 up && : >/tmp/leases && "
    .. "ip address add 10.9.9.1/24 dev eth0", { check = true })
  server:run_async("udhcpd -f /tmp/udhcpd.conf")
  local r = client:run(ask .. "30", { check = true })
  t:assert_contains(r.stderr, "lease of 10.9.9.7 obtained from 10.9.9.1")
  t:assert(count(cap) > 0)
  client:run("ip address add 10.9.9.7/24 dev eth0", { check = true })
  client:run("ping -c 1 -w 30 10.9.9.1", { check = true })
end)

test("DHCP is asked for where a bridge is made", function(t)
  local bare = provium:bridge("bare", { dhcp = false })
  t:assert_eq(provium:bridge("bare"), bare)
  t:assert_eq(provium:bridge("bare", { dhcp = false }), bare)
  raises(t, "bridge 'bare' was made with dhcp = false", function()
    provium:bridge("bare", { dhcp = true })
  end)
  raises(t, "bridge 'lan' was made with dhcp = true", function()
    provium:bridge("lan", { dhcp = false })
  end)
  raises(t, "dhcp must be a boolean", function()
    provium:bridge("x", { dhcp = "no" })
  end)
end)

test("a broadcast reaches all", function(t)
  local ip = a:nic("lan"):ip()
  local before = {}
  for _, vm in ipairs({ b, c }) do
    vm:run("ip neigh flush dev eth0; echo 0 > "
      .. "/proc/sys/net/ipv4/icmp_echo_ignore_broadcasts", { check = true })
  end
  -- The gateway's neighbours answer as well, so ask until both have.
  local out = wait_until(function()
    local s = a:run("ping -c 2 -w 5 " .. ip:gsub("%d+$", "255")).stdout
    return s:find(b:nic("lan"):ip(), 1, true)
      and s:find(c:nic("lan"):ip(), 1, true) and s
  end, { timeout = 60, desc = "answers of both to a broadcast" })
  t:assert(out)
end)

test("TCP carries ten megabytes unchanged", function(t)
  a:run("head -c 10485760 /dev/urandom > /tmp/data", { check = true })
  local sum = a:run("sha256sum < /tmp/data", { check = true }).stdout
  local server = b:run_async("nc -l -p 5000 > /tmp/data")
  wait_until(function()
    return b:run("netstat -ltn | grep -q :5000"):ok()
  end, { timeout = 60, desc = "the listener" })
  a:run("nc -w 60 b 5000 < /tmp/data", { check = true })
  server:wait(60):assert_ok()
  t:assert_eq(b:run("sha256sum < /tmp/data", { check = true }).stdout, sum)
end)

test("counters are those of the guest", function(t)
  local nic = a:nic("lan")
  local before = nic:counters()
  a:run("ping -c 3 -i 0.2 -s 1000 -w 30 b", { check = true })
  local now = nic:counters()
  t:assert(now.tx_packets >= before.tx_packets + 3, now.tx_packets)
  t:assert(now.rx_packets >= before.rx_packets + 3, now.rx_packets)
  t:assert(now.tx_bytes >= before.tx_bytes + 3 * 1042, now.tx_bytes)
  t:assert(now.rx_bytes >= before.rx_bytes + 3 * 1042, now.rx_bytes)
  t:assert_eq(now.errors, 0)
  -- A frame may leave between the two readings.
  wait_until(function()
    local sent = a:read_file("/sys/class/net/eth0/statistics/tx_packets")
    return nic:counters().tx_packets == tonumber(sent)
  end, { timeout = 60, desc = "the count of the guest's own NIC" })
end)

test("a VM without a NIC has only lo, which is up", function(t)
  t:assert_eq(alone:run("ls /sys/class/net").stdout, "lo\n")
  alone:run("ping -c 1 -w 30 localhost", { check = true })
  raises(t, "VM 'alone' is on no bridge: attach it", function()
    alone:nic("lan")
  end)
end)

test("a reset configures the network again", function(t)
  local ip = addresses(c)
  c:run("ip addr flush dev eth0; : > /etc/resolv.conf")
  c:reset()
  t:assert_eq(addresses(c), ip)
  c:run("ping -c 1 -w 30 a", { check = true })
  a:run("ping -c 1 -w 30 c", { check = true })
end)

test("shutdown and boot again keep the address", function(t)
  local ip = addresses(c)
  c:shutdown()
  t:assert_eq(lan:members(), { "a", "b", "c" })
  c:boot()
  t:assert_eq(addresses(c), ip)
  a:run("ping -c 1 -w 30 c.lan", { check = true })
end)

-- Twice, to compare: what a test makes has the same addresses each time.
local seen
for turn = 1, 2 do
  test("addresses do not depend on what ran before " .. turn, function(t)
    local vm = provium:vm("e")
    local nets = { provium:bridge("one"), provium:bridge("two") }
    for _, net in ipairs(nets) do
      net:attach(vm)
    end
    local now = {}
    for i, net in ipairs(nets) do
      local nic = net:nic(vm)
      now[i] = { mac = nic:mac(), ip = nic:ip() }
    end
    seen = seen or now
    t:assert_eq(now, seen)
    t:assert_neq(now[1].mac, now[2].mac)
  end)
end

test("labs give bridges by name", function(t)
  t:assert(provium.lan == lan)
  t:assert(provium:bridge("lan") == lan)
  t:assert_eq(provium:bridge_names(), { "lan", "wan" })
  t:assert_eq(lan:name(), "lan")
  t:assert_contains(tostring(lan), "bridge 'lan'")
  local mine = provium:bridge("mine")
  t:assert_eq(provium:bridge_names(), { "lan", "mine", "wan" })
  t:assert_eq(mine:members(), {})
  -- A VM of that name comes first.
  local vm = provium:vm("mine")
  t:assert(provium.mine == vm)
  local lab = provium:lab("sub")
  t:assert(lab:bridge("lan") ~= lan)
  t:assert_eq(lab:bridge_names(), { "lan" })
  lan:attach(lab:vm("x"))
  t:assert_eq(lan:members()[4], "x")
end)

test("what an ended test made is gone", function(t)
  t:assert_eq(provium:bridge_names(), { "lan", "wan" })
  t:assert_eq(provium.mine, nil)
  t:assert_eq(lan:members(), { "a", "b", "c" })
end)

test("nics answer", function(t)
  local nic = lan:nic(a)
  t:assert_eq(nic:vm_name(), "a")
  t:assert_eq(nic:bridge(), "lan")
  t:assert_match(nic:mac(), "^52:54:00:%x%x:%x%x:%x%x$")
  t:assert_contains(tostring(nic), "nic of 'a' on 'lan'")
  nic:close()
  nic:close()
  raises(t, "nic:mac: the NIC is closed", function() nic:mac() end)
  t:assert_eq(lan:nic(a):ip(), a:nic("lan"):ip())
end)

-- What a capture is made of is a test of its own; here: where it listens.
test("captures hear the bridge, or one NIC", function(t)
  local all, of_c = lan:capture(), c:nic("lan"):capture()
  local icmp = lan:capture({ filter = "icmp" })
  t:assert_eq(all:kind(), "bridge_capture")
  t:assert_eq(all:detail(), "lan")
  t:assert_eq(of_c:kind(), "nic_capture")
  t:assert_eq(of_c:detail(), "c on lan")
  -- Both ways, so that c's address is learnt and no frame goes astray.
  c:run("ping -c 1 -w 30 b", { check = true })
  a:run("ping -c 1 -w 30 -p 5a b", { check = true })
  all:expect(("\x5a"):rep(40), 30)
  icmp:expect(("\x5a"):rep(40), 30)
  local heard = table.concat(of_c:drain(0.1))
  t:assert(#heard > 24)
  t:assert(not heard:find(("\x5a"):rep(40), 1, true))
  raises(t, "bridge:capture: ", function() lan:capture({ filter = "(" }) end)
  raises(t, "unknown option 'speed'", function()
    a:nic("lan"):capture({ speed = 1 })
  end)
end)

test("the end of a bridge ends its captures", function(t)
  local net, vm = provium:bridge("net"), provium:vm("v")
  net:attach(vm)
  local cap = net:capture()
  vm:boot()
  cap:expect("\255\255\255\255\255\255")
  net:close()
  t:assert(#table.concat(cap:drain(30)) > 0)
  t:assert(cap:eof())
end)

test("errors say what helps", function(t)
  local vm = provium:vm("v")
  lan:attach(vm)
  raises(t, "VM 'v' is on bridge 'lan' already", function()
    lan:attach(vm)
  end)
  raises(t, "VM 'a' runs, and has no NIC without a cable", function()
    provium:bridge("more"):attach(a)
  end)
  raises(t, "VM 'v' is not on bridge 'wan': attach it", function()
    wan:detach(vm)
  end)
  raises(t, "VM 'v' is not on a bridge 'wan'; it is on: lan", function()
    vm:nic("wan")
  end)
  raises(t, "bridge:attach: vms must be a VM, or a list of VMs, got a string",
    function() lan:attach("v") end)
  raises(t, "vms[2] must be a VM, got a number", function()
    lan:attach({ provium:vm("w"), 1 })
  end)
  raises(t, "the list of VMs is empty", function() lan:attach({}) end)
  raises(t, "unknown option 'speed'", function()
    provium:bridge("fast", { speed = 1 })
  end)
  raises(t, "'boot' is a reserved name", function()
    provium:bridge("boot")
  end)
  raises(t, "bad name 'a b'", function() provium:bridge("a b") end)
end)

test("a list is attached as a whole or not at all", function(t)
  local v, w = provium:vm("v"), provium:vm("w")
  local net = provium:bridge("net")
  raises(t, "'a' runs", function() net:attach({ v, w, a }) end)
  t:assert_eq(net:members(), {})
  t:assert(net:attach({ v, w }) == net)
  t:assert_eq(net:members(), { "v", "w" })
  net:detach(v)
  t:assert_eq(net:members(), { "w" })
end)

test("closed VMs and bridges are refused", function(t)
  local vm, net = provium:vm("v"), provium:bridge("net")
  net:attach(vm)
  local nic = net:nic(vm)
  vm:close()
  t:assert_eq(net:members(), {})
  raises(t, "vm is a VM that is closed", function() net:attach(vm) end)
  raises(t, "nic:ip: its VM is closed", function() nic:ip() end)
  net:close()
  net:close()
  raises(t, "bridge:attach: the bridge is closed", function()
    net:attach(a)
  end)
  raises(t, "bridge:name: the bridge is closed", function() net:name() end)
end)

test("a dead VM cannot be attached", function(t)
  local vm = provium:vm("v"):boot()
  os.execute("kill -9 " .. vm:pid())
  wait_until(function() return vm:state() == "dead" end,
    { timeout = 60, desc = "the end of QEMU" })
  raises(t, "VM 'v' is dead: declare a new one", function()
    lan:attach(vm)
  end)
end)

local guest = provium:vm("guest")
test("a bridge may end before its guests do", function(t)
  local net = provium:bridge("net")
  net:attach(guest)
  lan:attach(guest)
  guest:boot()
  t:assert_eq(addresses(guest), { eth0 = net:nic(guest):ip(),
    eth1 = lan:nic(guest):ip() })
end)

test("then the guest lives on without it", function(t)
  raises(t, "it is on: lan", function() guest:nic("net") end)
  guest:run("ping -c 1 -w 30 a", { check = true })
  t:assert(not guest:run("ping -c 1 -W 1 -I eth0 10.77.3.1"):ok())
  guest:reset()
  t:assert_eq(addresses(guest), { eth1 = lan:nic(guest):ip() })
  guest:shutdown()
  guest:boot()
  t:assert_eq(addresses(guest), { eth0 = lan:nic(guest):ip() })
end)

test("what a guest breaks fails its boot, with the reason", function(t)
  local vm = provium:vm("v")
  lan:attach(vm)
  local err = t:assert_raises(function()
    vm:boot({ files = { { path = "/sbin/provium-net", mode = 493,
      content = "#!/bin/sh\necho no luck with $1 >&2\nexit 1\n" } } })
  end)
  t:assert_contains(err, "vm:boot: VM v: the guest's network: no luck with "
    .. vm:nic("lan"):mac() .. "=lan")
end)

test("an init of one's own is left to configure the network", function(t)
  local vm = provium:vm("v")
  lan:attach(vm)
  vm:boot({ files = { { path = "/init", mode = 493, content = [[
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
exec sleep 100000
]] } } })
  t:assert_eq(vm:run("ip -4 -o addr show scope global").stdout, "")
  t:assert_contains(vm:run("ip link").stdout, vm:nic("lan"):mac())
end)
