-- Two guests with three networks between them: a bridge, and what QEMU itself
-- has, a stream and a datagram socket from the one to the other. Same guests,
-- same kernel, same model of NIC; in turns.
local out = assert(io.open(os.getenv("BENCH_OUT"), "w"))
local rounds = tonumber(os.getenv("BENCH_ROUNDS"))
local traffic = require("traffic")
local SECONDS, TRIPS = "1", 500

-- QEMU's own networks, as options for the guest that is number i of the two.
local function own(i, path)
  local mac = "52:54:00:ff:%02x:0" .. i
  return {
    "-netdev", "socket,id=own0," .. (i == 1 and "listen=" or "connect=")
      .. "127.0.0.1:" .. os.getenv("BENCH_PORT"),
    "-device", "virtio-net-pci,netdev=own0,romfile=,mac=" .. mac:format(0),
    "-netdev", ("dgram,id=own1,local.type=unix,local.path=%s%d,"
      .. "remote.type=unix,remote.path=%s%d"):format(path, i, path, 3 - i),
    "-device", "virtio-net-pci,netdev=own1,romfile=,mac=" .. mac:format(1),
  }
end

local function configure(vm, i)
  for n = 0, 1 do
    vm:run(([[
      for d in /sys/class/net/*; do
        [ "$(cat $d/address)" = 52:54:00:ff:%02x:0%d ] || continue
        ip addr add 192.168.%d.%d/24 dev ${d##*/} && ip link set ${d##*/} up
        exit
      done
      exit 1]]):format(n, i, n, i), { check = true })
  end
end

test("three networks between two guests", { timeout = "900s" }, function()
  local path = os.getenv("BENCH_OUT") .. ".own"
  local a, b = provium:vm("a"), provium:vm("b")
  local lan = provium:bridge("lan")
  lan:attach({ a, b })
  a:boot({ qemu_args = own(1, path) })
  b:boot({ qemu_args = own(2, path) })
  for i, vm in ipairs({ a, b }) do
    configure(vm, i)
  end
  traffic.install({ a, b })
  traffic.echo(b)

  local networks = { { "ours", b:nic("lan"):ip() },
    { "stream", "192.168.0.2" }, { "dgram", "192.168.1.2" } }
  local function say(name, network, value)
    out:write(("%s %s %.3f\n"):format(name, network[1], value))
  end
  for _ = 1, rounds do
    for _, net in ipairs(networks) do
      local bytes, seconds = traffic.pour(b, a, net[2], SECONDS)
      say("tcp", net, bytes * 8 / 1e6 / seconds)
      local n, took = traffic.blast(b, a, net[2], SECONDS)
      say("udp", net, n / took)
      say("trip", net, traffic.trips(a, net[2], TRIPS)[TRIPS / 2])
    end
  end
  out:close()
end)
