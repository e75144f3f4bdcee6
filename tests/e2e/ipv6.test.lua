-- IPv6 on bridges: addresses, names, routes; as the guest's own kernel has them.
local lan = provium:bridge("lan", { ipv6 = true })
local wan = provium:bridge("wan", { ipv6 = true })
local a, b, c = provium:vm("a"), provium:vm("b"), provium:vm("c")
lan:attach({ a, b })
wan:attach(c)
provium:boot()

local function addresses(vm)
  local r = vm:run("ip -6 -o address show scope global", { check = true })
  local found = {}
  for nic, ip in r.stdout:gmatch("(eth%d)%s+inet6 ([%x:]+)/64") do
    found[nic] = ip
  end
  return found
end

local function ping(vm, to)
  return vm:run("ping -6 -c 1 -w 20 " .. to)
end

-- The records of a type, by the guest's own resolver.
local function lookup(vm, name, kind)
  return vm:run("nslookup -type=" .. kind .. " " .. name).stdout
end

test("guests have an address when they have booted", function(t)
  t:assert_eq(addresses(a).eth0, lan:nic(a):ip6())
  t:assert_eq(lan:nic(a):ip6(), "fd77:7072:6f76:1:5054:ff:fe00:10a")
  t:assert_eq(lan:nic(b):ip6(), "fd77:7072:6f76:1:5054:ff:fe00:10b")
  t:assert_eq(wan:nic(c):ip6(), "fd77:7072:6f76:2:5054:ff:fe00:20a")
end)

test("an address that the kernel made first is no error", function(t)
  local nic = lan:nic(a)
  a:run({ "/sbin/provium-net", ("%s=lan,%s,fd77:7072:6f76:1::1"):format(
    nic:mac(), nic:ip6()) }, { check = true })
  t:assert_eq(addresses(a).eth0, nic:ip6())
end)

test("guests reach each other", function(t)
  t:assert(ping(a, lan:nic(b):ip6()):ok())
  t:assert(ping(b, lan:nic(a):ip6()):ok())
end)

test("and their gateway, which is their router", function(t)
  t:assert(ping(a, "fd77:7072:6f76:1::1"):ok())
  local r = a:run("ip -6 route show default")
  t:assert_contains(r.stdout, "default via fd77:7072:6f76:1::1 dev eth0")
end)

test("which answers pings in fragments", function(t)
  for _, size in ipairs({ 1452, 1453, 2896, 9000, 65487 }) do
    local r = a:run("ping -6 -c 1 -w 30 -s " .. size .. " fd77:7072:6f76:1::1")
    t:assert(r:ok(), size .. ": " .. r.stdout)
  end
end)

test("names have addresses of both kinds", function(t)
  t:assert_contains(lookup(a, "b", "aaaa"), lan:nic(b):ip6())
  t:assert_contains(lookup(a, "b.lan", "aaaa"), lan:nic(b):ip6())
  t:assert_contains(lookup(a, "gateway.lan", "aaaa"), "fd77:7072:6f76:1::1")
  t:assert_contains(lookup(a, "b.lan", "a"), lan:nic(b):ip())
  t:assert(ping(a, "b"):ok())
end)

test("addresses have names", function(t)
  local function name(ip)
    return a:run({ "nslookup", ip }).stdout
  end
  t:assert_contains(name(lan:nic(b):ip6()), "name = b.lan")
  t:assert_contains(name("fd77:7072:6f76:1::1"), "name = gateway.lan")
  t:assert_contains(name(wan:nic(c):ip6()), "NXDOMAIN")
end)

test("the name server answers over IPv6, too", function(t)
  local r = a:run("nslookup -type=aaaa b.lan fd77:7072:6f76:1::1")
  t:assert_contains(r.stdout, lan:nic(b):ip6())
end)

test("the gateway announces what they were given", function(t)
  wait_until(function()
    return a:run("ip -6 route show default").stdout:find("via fe80::5054:ff:fe00:101", 1, true)
  end, { timeout = 20, desc = "the router's announcement was heard" })
  t:assert_eq(addresses(a).eth0, lan:nic(a):ip6())
end)

test("what has no route is told so at once", function(t)
  local cap = lan:capture({ filter = "icmp6 and ip6[40] == 1" })
  t:assert(not a:run("ping -6 -c 1 -W 1 " .. wan:nic(c):ip6()):ok())
  t:assert(not a:run("ping -6 -c 1 -W 1 2001:db8::1"):ok())
  local codes = {}
  for p in cap:packets(0) do
    codes[#codes + 1] = p.data:byte(14 + 40 + 2)
  end
  cap:close()
  t:assert_eq(codes[1], 0)
  t:assert_eq(codes[#codes], 0)
end)

test("a route is one of IPv6, too", function(t)
  lan:route(wan)
  local r = ping(a, wan:nic(c):ip6())
  t:assert(r:ok(), r.stdout .. r.stderr)
  t:assert_contains(r.stdout, "ttl=63")
  t:assert(ping(c, "b.lan"):ok())
  t:assert_contains(lookup(a, "c.wan", "aaaa"), wan:nic(c):ip6())
end)

test("nobody there is told so", function(t)
  local cap = lan:capture({ filter = "icmp6 and ip6[40] == 1" })
  a:run("ping -6 -c 1 -W 1 fd77:7072:6f76:2::99")
  local p = cap:packets(10)()
  t:assert_eq(p.data:byte(14 + 40 + 2), 3)
  cap:close()
end)

test("much goes over TCP", function(t)
  local ip = lan:nic(b):ip6()
  local sum = b:run([[
    mkdir -p /www && head -c 2000000 /dev/urandom >/www/big && sha256sum </www/big
    httpd -p "[]] .. ip .. "]:80\" -h /www", { check = true }).stdout
  local got = a:run("wget -q -O - 'http://[" .. ip .. "]/big' | sha256sum", { check = true })
  t:assert_eq(got.stdout, sum)
end)

test("the rules of the bridge are for it, too", function(t)
  lan:partition(a, b)
  t:assert(not a:run("ping -6 -c 1 -W 1 " .. lan:nic(b):ip6()):ok())
  lan:restore_all()
  t:assert(ping(a, lan:nic(b):ip6()):ok())
end)

test("an address that the guest takes itself is its name's", function(t)
  local d = provium:vm("d")
  lan:attach(d)
  d:boot()
  t:assert_eq(addresses(d).eth0, lan:nic(d):ip6())
  local script = [[
    ip link set eth0 down
    echo 1 >/proc/sys/net/ipv6/conf/eth0/accept_dad
    echo 3 >/proc/sys/net/ipv6/conf/eth0/addr_gen_mode
    ip link set eth0 up]]
  lan:nic(d):disconnect()
  d:run(script, { check = true })
  lan:nic(d):reconnect()
  wait_until(function()
    local ip = addresses(d).eth0
    return ip and ip == lan:nic(d):ip6() and not ip:find("5054:ff", 1, true)
  end, { timeout = 30, desc = "the guest's own address is known" })
end)

test("a shutdown forgets it, a boot finds it again", function(t)
  local before = lan:nic(b):ip6()
  b:shutdown()
  t:assert_eq(lan:nic(b):ip6(), nil)
  b:boot()
  t:assert_eq(lan:nic(b):ip6(), before)
  t:assert_eq(addresses(b).eth0, before)
end)

test("a bridge is without, unless asked for", function(t)
  local plain = provium:bridge("plain")
  b:shutdown()
  plain:attach(b)
  b:boot()
  t:assert_eq(addresses(b).eth1, nil)
  t:assert_eq(plain:nic(b):ip6(), nil)
  t:assert(not lookup(b, "gateway.plain", "aaaa"):find("fd77", 1, true))
  t:assert_contains(t:assert_raises(function()
    provium:bridge("plain", { ipv6 = true })
  end), "bridge 'plain' was made without IPv6")
  t:assert_eq(provium:bridge("lan"), lan)
end)

test("a guest without IPv6 says so", function(t)
  local e = provium:vm("e", { kernel_cmdline_append = "ipv6.disable=1" })
  lan:attach(e)
  t:assert_contains(t:assert_raises(function() e:boot() end),
    "NIC eth0 on bridge lan got no IPv6 address: does the kernel have IPv6?")
end)
