-- Cables that move while guests run: nic:disconnect, nic:reconnect, and
-- bridge:attach and bridge:detach of a VM that is booted.
local count = require("captured").count
local lan, wan = provium:bridge("lan"), provium:bridge("wan")
local a = provium:vm("a", { spare_nics = 1 })
local b = provium:vm("b")
lan:attach({ a, b })
provium:boot()

local function raises(t, text, fn)
  t:assert_contains(t:assert_raises(fn), text)
end

local function pings(from, to)
  return from:run("ping -c 1 -w 30 " .. to):ok()
end

-- Asks twice, and waits a second for an answer.
local function is_cut_off(from, to)
  return not from:run("ping -c 2 -i 0.2 -W 1 " .. to):ok()
end

-- What its guest sees of the link; it is told by an interrupt.
local function sees(vm, nic, carrier)
  wait_until(function()
    return vm:run("cat /sys/class/net/" .. nic .. "/carrier").stdout == carrier .. "\n"
  end, { timeout = 20, desc = nic .. " has carrier " .. carrier })
end

local function addresses(vm)
  local r = vm:run("ip -4 -o address show scope global", { check = true })
  local found = {}
  for nic, ip in r.stdout:gmatch("(eth%d)%s+inet ([%d.]+)/") do
    found[nic] = ip
  end
  return found
end

test("a link that goes down is seen by the guest", function(t)
  local nic = lan:nic(a)
  t:assert(pings(b, "a"))
  t:assert_eq(nic:disconnect(), nic)
  sees(a, "eth0", 0)
  t:assert(is_cut_off(b, lan:nic(a):ip()))
  t:assert_eq(addresses(a).eth0, nic:ip())
  t:assert_eq(nic:reconnect(), nic)
  sees(a, "eth0", 1)
  t:assert(pings(b, "a"))
  nic:reconnect()
  t:assert(pings(a, "b"))
end)

-- From vm, one frame to everybody that nobody answers.
local function broadcast(vm)
  vm:run("arping -c 1 -w 1 -I eth0 10.77.1.99")
end

test("nothing is captured of a NIC without a link", function(t)
  local nic = lan:nic(a)
  nic:disconnect()
  sees(a, "eth0", 0)
  local before = nic:counters()
  local cap, all = nic:capture(), lan:capture({ filter = "arp host 10.77.1.99" })
  broadcast(a)
  t:assert_eq({ count(cap), count(all) }, { 0, 0 })
  broadcast(b)
  t:assert_eq({ count(cap), count(all) }, { 0, 1 })
  t:assert_eq(nic:counters(), before)
  nic:reconnect()
  sees(a, "eth0", 1)
  broadcast(b)
  t:assert(count(cap) >= 1)
  cap:close()
  all:close()
end)

test("nothing is captured of the NIC of a guest that is off", function(t)
  local off = provium:vm("off")
  lan:attach(off)
  local cap = lan:nic(off):capture()
  broadcast(b)
  t:assert_eq(count(cap), 0)
end)

test("a spare NIC has no link, and no address", function(t)
  t:assert_eq(a:run("ls /sys/class/net").stdout, "eth0\neth1\nlo\n")
  a:run("ip link set eth1 up", { check = true })
  sees(a, "eth1", 0)
  t:assert_eq(addresses(a).eth1, nil)
end)

test("a guest that runs is attached to a bridge", function(t)
  t:assert_eq(wan:attach(a), wan)
  sees(a, "eth1", 1)
  t:assert_eq(addresses(a), { eth0 = lan:nic(a):ip(), eth1 = wan:nic(a):ip() })
  local mac = a:run("cat /sys/class/net/eth1/address").stdout
  t:assert_eq(wan:nic(a):mac() .. "\n", mac)
  t:assert(pings(a, "gateway.wan"))
  t:assert(pings(a, "b"))
  t:assert_eq(a:run("head -n 1 /etc/resolv.conf").stdout, "search lan wan\n")
  t:assert_eq(a:run("uname -n").stdout, "a\n")
end)

test("there are so many NICs as at the boot", function(t)
  local third = provium:bridge("third")
  raises(t, "VM 'a' runs, and has no NIC without a cable: attach it before "
    .. "vm:boot(), or boot it with spare_nics = 1", function()
    third:attach(a)
  end)
  raises(t, "spare_nics = 1", function() third:attach({ a, b }) end)
  t:assert_eq(third:members(), {})
end)

test("a guest that runs is taken off a bridge", function(t)
  wan:detach(a)
  sees(a, "eth1", 0)
  t:assert_eq(addresses(a).eth1, nil)
  t:assert_eq(wan:members(), {})
  t:assert_eq(a:run("head -n 1 /etc/resolv.conf").stdout, "search lan\n")
  t:assert(pings(a, "b"))
end)

test("a NIC moves from bridge to bridge", function(t)
  local dmz = provium:bridge("dmz")
  local mac
  for _, net in ipairs({ wan, dmz, wan }) do
    net:attach(a)
    mac = mac or net:nic(a):mac()
    t:assert_eq(net:nic(a):mac(), mac)
    t:assert_eq(addresses(a).eth1, net:nic(a):ip())
    t:assert(pings(a, "gateway." .. net:name()))
    net:detach(a)
  end
end)

test("a bridge that closes takes the link with it", function(t)
  local brief = provium:bridge("brief")
  brief:attach(a)
  sees(a, "eth1", 1)
  brief:close()
  sees(a, "eth1", 0)
  wan:attach(a)
  sees(a, "eth1", 1)
  t:assert(pings(a, "gateway.wan"))
end)

test("a reset finds the cables where they are", function(t)
  lan:nic(a):disconnect()
  a:reset()
  t:assert_eq(addresses(a), { eth1 = wan:nic(a):ip() })
  a:run("ip link set eth0 up", { check = true })
  sees(a, "eth0", 0)
  lan:nic(a):reconnect()
  sees(a, "eth0", 1)
end)

test("so does the next boot, and the NIC has its own MAC again", function(t)
  lan:nic(a):disconnect()
  a:shutdown()
  a:boot()
  t:assert_eq(addresses(a), { eth1 = wan:nic(a):ip() })
  t:assert_eq(a:run("cat /sys/class/net/eth1/address").stdout, wan:nic(a):mac() .. "\n")
  t:assert_eq(a:run("ls /sys/class/net").stdout, "eth0\neth1\neth2\nlo\n")
  lan:nic(a):reconnect()
  t:assert_eq(addresses(a).eth0, lan:nic(a):ip())
  t:assert(pings(a, "b"))
end)

test("a link may be down before the first boot", function(t)
  local c = provium:vm("c")
  lan:attach(c)
  lan:nic(c):disconnect()
  c:boot()
  c:run("ip link set eth0 up", { check = true })
  sees(c, "eth0", 0)
  t:assert_eq(addresses(c), {})
end)

test("a guest that is paused keeps its cables", function(t)
  a:pause()
  raises(t, "VM 'a' is paused: attach it while it is off, or booted", function()
    provium:bridge("other"):attach(a)
  end)
  raises(t, "VM 'a' is paused: detach it while it is off, or booted", function()
    lan:detach(a)
  end)
  lan:nic(a):disconnect()
  a:resume()
  sees(a, "eth0", 0)
  lan:nic(a):reconnect()
  sees(a, "eth0", 1)
end)

test("what fits is checked", function(t)
  raises(t, "spare_nics must be 0 to 16, got 17", function()
    provium:vm("many", { spare_nics = 17 })
  end)
  local full = provium:vm("full", { spare_nics = 16 })
  lan:attach(full)
  raises(t, "VM 'full' is on 1 bridges, and has 16 spare NICs: at most 16 fit", function()
    full:boot()
  end)
end)

test("an attach that fails in the guest is undone", function(t)
  local other = provium:bridge("other")
  a:write_file("/sbin/provium-net", "#!/bin/sh\necho no luck >&2\nexit 1\n", { mode = 493 })
  raises(t, "VM 'a': the guest's network: no luck", function() other:attach(a) end)
  t:assert_eq(other:members(), {})
  a:run("ip link set eth2 up", { check = true })
  sees(a, "eth2", 0)
end)
