-- Calls of the agent in turns with calls of a dropbear and a qemu-ga in the
-- same guest; peers.py makes and times the peers' part when asked to.
local now = require("clock")
local dir = os.getenv("BENCH_DIR")
local rounds = tonumber(os.getenv("BENCH_ROUNDS"))
local asking, answers

local function peer(name)
  asking:write(name, "\n")
  asking:flush()
  assert(answers:read("*l"), "peers.py has ended: see what it said")
end

local function ours(name, fn)
  local start = now()
  fn()
  asking:write(("ours %s %.2f\n"):format(name, (now() - start) * 1e6))
end

local function boot()
  return provium:vm("peers"):boot({memory = "1G", qemu_args = {
    "-netdev", "user,id=ssh,restrict=on,hostfwd=tcp:127.0.0.1:" ..
      os.getenv("BENCH_PORT") .. "-:22",
    "-device", "virtio-net-pci,netdev=ssh,romfile=",
    "-chardev", "socket,id=qga,server=on,wait=off,path=" .. dir .. "/qga",
    "-device", "virtio-serial-pci,id=qga",
    "-device", "virtserialport,bus=qga.0,chardev=qga,name=qga.0"}})
end

local function start_peers(vm)
  for _, d in ipairs({"/lib64", "/lib/x86_64-linux-gnu", "/root/.ssh",
      "/etc/dropbear"}) do
    vm:mkdir(d, {parents = true, perm = 448})
  end
  local lines = io.lines(dir .. "/files")
  for guest in lines do
    vm:push_file(lines(), guest, {mode = 493})
  end
  vm:push_file(dir .. "/key.pub", "/root/.ssh/authorized_keys", {mode = 384})
  vm:run([[set -e
    modprobe virtio_net
    ip link set lo up
    ip link set eth0 up
    ip addr add 10.0.2.15/24 dev eth0
    dropbearkey -t ed25519 -f /etc/dropbear/dropbear_ed25519_host_key
    dropbear -r /etc/dropbear/dropbear_ed25519_host_key]],
    {check = true})
  vm:run_async([[
    for d in /sys/class/virtio-ports/*; do
      [ "$(cat $d/name)" = qga.0 ] && port=/dev/${d##*/}
    done
    exec qemu-ga -m virtio-serial -p $port -t /tmp]])
end

-- A thousand operations in one round trip, every other one a stat.
local function batch(vm)
  vm:batch(function(b)
    for _ = 1, 500 do
      b:stat("/etc/passwd")
      b:syscall(39)
    end
  end)
end

local function small_calls(vm)
  for _ = 1, 10 do ours("syscall", function() vm:syscall(39) end) end
  for _ = 1, 10 do peer("qga ping") end
  for _ = 1, 10 do
    ours("stat", function() vm:stat("/etc/passwd") end)
  end
  for _ = 1, 3 do peer("qga open") end
  for _ = 1, 5 do ours("run", function() vm:run({"true"}) end) end
  for _ = 1, 2 do
    peer("qga true")
    peer("qga stat")
  end
  peer("ssh true")
  peer("ssh stat")
  peer("ssh fresh true")
end

local function large_calls(vm, blob)
  for _ = 1, 3 do
    local got
    ours("read", function() got = vm:read_file("/tmp/read") end)
    assert(got == blob, "read_file: other bytes than were written")
    ours("write", function() vm:write_file("/tmp/ours", blob) end)
  end
  -- Once each, as these take a minute and more.
  peer("ssh read")
  peer("qga read")
  peer("ssh write")
  peer("qga write")
end

test("peers", {timeout = "280s"}, function(t)
  asking = assert(io.open(dir .. "/ask", "w"))
  answers = assert(io.open(dir .. "/tell"))
  local vm = boot()
  start_peers(vm)
  peer("start")
  for _ = 1, rounds do small_calls(vm) end
  for _ = 1, 3 do
    ours("batch", function() batch(vm) end)
    peer("ssh batch")
    peer("qga batch")
  end
  local blob = assert(io.open(dir .. "/blob", "rb")):read("*a")
  vm:write_file("/tmp/read", blob)
  large_calls(vm, blob)
  asking:close()
end)
