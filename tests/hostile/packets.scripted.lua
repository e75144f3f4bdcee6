-- A guest that throws malformed packets at everybody on its network: those who
-- are well go on, gateway and router too, in bounded memory. PACKETS names the
-- program (packets.c); the seed is fixed.
provium.timeout = 120

local peak_mib = require("host").peak_mib

local COUNT, SEED = 30000, 1
-- Of the worker: its captures, the last packets of each bridge (BRIDGE_LOG_MAX,
-- 8 MiB each) and the queues of the wires.
local WORKER_MIB = 96

local lan = provium:bridge("lan", { ipv6 = true })
local wan = provium:bridge("wan", { ipv6 = true })
lan:route(wan)
local thrower, b, c = provium:vm("thrower"), provium:vm("b"), provium:vm("c")
lan:attach({ thrower, b })
wan:attach(c)
provium:boot()

local function gateway_of(vm)
  return vm:run("ip route show default", { check = true }).stdout
    :match("via ([%d.]+)")
end

local function mac_of(vm, ip)
  vm:run({ "ping", "-c", "1", "-w", "30", ip }, { check = true })
  return vm:read_file("/proc/net/arp"):match(ip:gsub("%.", "%%.") ..
    "%s+%S+%s+%S+%s+(%x%x:%S+)")
end

-- All that a bridge does for a guest: for one that believed what the thrower
-- said of others' addresses, as guests on any Ethernet do, and asks anew.
local function network_is_well(t)
  b:run("ip neigh flush dev eth0; ip -6 neigh flush dev eth0")
  t:assert(b:run("ping -c 1 -w 30 " .. gateway_of(b)):ok(), "the gateway")
  t:assert(b:run("ping -c 1 -w 30 " .. c:nic("wan"):ip()):ok(), "the router")
  t:assert(b:run("ping -6 -c 1 -w 30 " .. c:nic("wan"):ip6()):ok(), "IPv6")
  t:assert(c:run("ping -c 1 -w 30 " .. b:nic("lan"):ip()):ok(), "the way back")
  t:assert_contains(b:run("nslookup c.wan", { timeout = 30 }).stdout,
    c:nic("wan"):ip())
  t:assert(b:run("udhcpc -i eth0 -n -q -t 5", { timeout = 30 }):ok(), "DHCP")
end

test("a guest throws malformed packets", function(t)
  network_is_well(t)
  thrower:push_file(os.getenv("PACKETS"), "/tmp/packets", { mode = 493 })
  thrower:run("ip link set eth0 mtu 65535")
  local gateway = gateway_of(thrower)
  local command = {
    "/tmp/packets", "eth0", tostring(SEED), tostring(COUNT),
    mac_of(thrower, gateway), mac_of(thrower, b:nic("lan"):ip()),
    thrower:nic("lan"):ip(), gateway, b:nic("lan"):ip(), c:nic("wan"):ip(),
  }
  local before = lan:nic(thrower):counters().tx_packets
  local unread = lan:capture()
  local r = thrower:run(command, { check = true, timeout = 90 })
  local came = lan:nic(thrower):counters().tx_packets - before
  t:log(("%s packets thrown, %d taken, peak %d MiB"):format(
    r.stdout:match("%d+"), came, peak_mib()))
  t:assert(tonumber(r.stdout) > COUNT / 2, r.stdout)
  t:assert(came > COUNT / 4, came)
  t:assert(peak_mib() < WORKER_MIB, peak_mib())
  unread:close()
  network_is_well(t)
end)
