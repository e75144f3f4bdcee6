-- vm:snapshot and vm:restore: what a guest was at one instant, again.
local vm = provium:vm("a"):boot()
vm:run("echo base >/tmp/x; dd if=/dev/urandom of=/tmp/noise bs=64k count=16",
  { check = true })
local noise = vm:run("md5sum </tmp/noise", { check = true }).stdout
local boot_log = vm:run("dmesg", { check = true }).stdout
local base = vm:snapshot()
local base_size = base:size()

local function sh(v, command)
  return v:run(command, { check = true }).stdout
end

local function raises(t, text, fn)
  local err = tostring(t:assert_raises(fn))
  t:assert_contains(err, text)
  return err
end

local function exists(path)
  local f = io.open(path)
  if f then f:close() end
  return f ~= nil
end

-- --- states -------------------------------------------------------------------

test("a restored guest has the memory that it had", function(t)
  sh(vm, "echo changed >/tmp/x; rm /tmp/noise")
  t:assert_eq(vm:restore(base), vm)
  t:assert_eq(vm:state(), "booted")
  t:assert_eq(sh(vm, "cat /tmp/x"), "base\n")
  t:assert_eq(sh(vm, "md5sum </tmp/noise"), noise)
end)

test("a guest is restored in every state", function(t)
  for _, ends in ipairs({ "pause", "shutdown", "kill" }) do
    if ends == "kill" then
      os.execute("kill -9 " .. vm:pid())
      wait_until(function() return vm:state() == "dead" end)
    else
      vm[ends](vm)
    end
    vm:restore(base)
    t:assert_eq(sh(vm, "cat /tmp/x"), "base\n", ends)
  end
end)

test("another VM object becomes what the snapshot is", function(t)
  local other = provium:vm("other", { memory = "512M", cpus = 2 })
  other:restore(base)
  t:assert_eq(sh(other, "cat /tmp/x; nproc"), "base\n1\n")
  t:assert_eq(other:name(), "other")
  sh(other, "echo other >/tmp/x")
  t:assert_eq(sh(vm, "cat /tmp/x"), "base\n")
  -- Booted again, it is what its options say.
  other:shutdown()
  other:boot()
  t:assert_eq(sh(other, "nproc"), "2\n")
  t:assert(not other:run("test -e /tmp/x"):ok())
end)

test("the guest goes on after a snapshot, and a paused one stays so",
  function(t)
    local v = provium:vm("p"):restore(base)
    local p = v:run_async("while :; do echo x; done")
    local out = p:stdout_stream()
    out:next_line(60)
    raises(t, "has 1 open stream", function() v:snapshot() end)
    out:close()
    v:pause()
    local s = v:snapshot()
    t:assert_eq(v:state(), "paused")
    v:resume()
    t:assert_eq(sh(v, "echo on"), "on\n")
    v:restore(s)
    t:assert_eq(v:state(), "booted")
  end)

test("a VM that does not run has nothing to be taken", function(t)
  local v = provium:vm("none")
  raises(t, "VM 'none' is created", function() v:snapshot() end)
  v:restore(base)
  v:shutdown()
  raises(t, "VM 'none' is shutdown", function() v:snapshot() end)
end)

-- --- handles ------------------------------------------------------------------

test("what was opened before is there again", function(t)
  local v = provium:vm("h"):restore(base)
  v:write_file("/tmp/lines", "one two three")
  local f = v:open_file("/tmp/lines", { read = true, write = true })
  t:assert_eq(f:read(4), "one ")
  local p = v:run_async("read line; echo \"got $line\"")
  local w = v:spawn_worker()
  local of_worker = w:open_file("/tmp/lines", { read = true })
  t:assert_eq(of_worker:read(3), "one")
  local pid = w:pid()
  local s = v:snapshot()
  for _ = 1, 2 do
    t:assert_eq(f:read(4), "two ")
    f:write("THREE")
    p:stdin_write("it\n")
    p:close_stdin()
    t:assert_eq(p:wait(60).stdout, "got it\n")
    t:assert_eq(of_worker:read(4), " two")
    t:assert_eq(w:pid(), pid)
    t:assert_eq(w:run("echo $PPID").stdout, pid .. "\n")
    v:restore(s)
    t:assert_eq(v:read_file("/tmp/lines"), "one two three")
  end
  t:assert_eq(p:status(), "running")
end)

test("what was opened later is gone, by its name", function(t)
  local v = provium:vm("h"):restore(base)
  local s = v:snapshot()
  local f = v:open_file("/etc/passwd", { read = true })
  local p = v:run_async("sleep 600")
  local w = v:spawn_worker()
  local of_worker = w:open_file("/etc/passwd", { read = true })
  v:restore(s)
  raises(t, "the file is gone", function() f:read(1) end)
  raises(t, "the process is gone", function() p:wait(60) end)
  raises(t, "the worker is gone", function() w:run("true") end)
  raises(t, "the worker is gone", function() of_worker:read(1) end)
  f:close() p:close() w:close() of_worker:close()
  t:assert_eq(v:open_file_count(), 0)
end)

test("what a worker opened later is gone, too", function(t)
  local v = provium:vm("h"):restore(base)
  local w = v:spawn_worker()
  local before = w:open_file("/etc/passwd", { read = true })
  local s = v:snapshot()
  local after = w:open_file("/etc/passwd", { read = true })
  local p = w:run_async("sleep 600")
  v:restore(s)
  t:assert_eq(before:read(4), "root")
  raises(t, "the file is gone", function() after:read(1) end)
  raises(t, "the process is gone", function() p:wait(60) end)
end)

test("handles of a boot are gone with a restore of an older one", function(t)
  local v = provium:vm("h"):boot()
  local f = v:open_file("/etc/passwd", { read = true })
  v:restore(base) -- of VM a: it knows no handle of this one
  raises(t, "the file is gone", function() f:read(1) end)
end)

test("handles follow each branch", function(t)
  local v = provium:vm("h"):restore(base)
  local one = v:open_file("/etc/passwd", { read = true })
  local first = v:snapshot()
  local two = v:open_file("/etc/passwd", { read = true })
  local second = v:snapshot()
  v:restore(first)
  t:assert_eq(one:read(4), "root")
  raises(t, "the file is gone", function() two:read(1) end)
  local three = v:open_file("/etc/passwd", { read = true })
  v:restore(second)
  t:assert_eq(one:read(4), "root")
  t:assert_eq(two:read(4), "root")
  raises(t, "the file is gone", function() three:read(1) end)
end)

test("calls in flight fail when their guest is replaced", function(t)
  local v = provium:vm("h"):restore(base)
  local err
  provium.all(
    function() err = tostring(t:assert_raises(function()
      v:run("sleep 600")
    end)) end,
    function() sh(v, "true") v:restore(base) end)
  t:assert_contains(err, "vm:run")
  t:assert_eq(sh(v, "cat /tmp/x"), "base\n")
end)

-- --- streams ------------------------------------------------------------------

test("open streams keep a snapshot from being taken, each named", function(t)
  local v = provium:vm("s")
  provium:bridge("slan"):attach(v)
  v:boot()
  v:write_file("/tmp/log", "x\n")
  local tail = v:tail_file("/tmp/log")
  local console = v:console():read()
  local nic = v:nic("slan"):capture()
  local err = raises(t, "vm:snapshot: VM 's' has 3 open streams, which a "
    .. "snapshot would tear: close them first", function() v:snapshot() end)
  for _, part in ipairs({ "tail_file of /tmp/log", "console_stream of s",
    "nic_capture of s on slan", "snapshot.test.lua:", "each named'" }) do
    t:assert_contains(err, part)
  end
  tail:close()
  console:close()
  err = raises(t, "has 1 open stream", function() v:snapshot() end)
  t:assert_contains(err, "close it first\n  nic_capture of ")
  nic:close()
  local bridge = provium:bridge("slan"):capture()
  raises(t, "bridge_capture of slan", function() v:snapshot() end)
  bridge:close()
  v:snapshot()
end)

test("of many streams five are shown", function(t)
  local v, list = provium:vm("s2"):restore(base), {}
  for i = 1, 7 do list[i] = v:tail_file("/tmp/x") end
  local err = raises(t, "has 7 open streams", function() v:snapshot() end)
  t:assert_contains(err, "and 2 more")
  local _, shown = err:gsub("\n  tail", "")
  t:assert_eq(shown, 5)
  for _, s in ipairs(list) do s:close() end
  v:snapshot()
end)

test("a restore ends the streams of the guest before", function(t)
  local v = provium:vm("s3"):restore(base)
  local s = v:tail_file("/tmp/x")
  v:restore(base)
  t:assert(s:eof())
  t:assert_eq(v:open_stream_count(), 0)
end)

-- --- depth --------------------------------------------------------------------

test("snapshots of restored guests hold what changed, five deep", function(t)
  local v = provium:vm("deep"):restore(base)
  local list, sizes = {}, {}
  for i = 1, 5 do
    -- Alternately little and 8 MiB.
    local mib = i % 2 == 0 and 8 or 0
    sh(v, ("echo %d >>/tmp/x; dd if=/dev/urandom of=/tmp/d%d bs=1M count=%d")
      :format(i, i, mib))
    list[i] = v:snapshot()
    sizes[i] = list[i]:size()
    v:restore(list[i])
  end
  for i = 5, 1, -1 do
    v:restore(list[i])
    t:assert_eq(sh(v, "tail -n 1 /tmp/x; ls /tmp | grep -c ^d"),
      ("%d\n%d\n"):format(i, i))
  end
  -- What a delta holds is against the image, so it grows with each.
  t:log("sizes: " .. table.concat(sizes, " "))
  t:assert(sizes[1] < base_size / 2, "the first is a delta")
  t:assert(sizes[2] - sizes[1] > 8e6, "8 MiB more")
  t:assert(sizes[3] - sizes[2] < 8e6, "little more")
end)

test("a guest that changed much has an image of its own", function(t)
  local v = provium:vm("much"):restore(base)
  sh(v, "dd if=/dev/urandom of=/tmp/d bs=1M count=80")
  local sum = sh(v, "md5sum </tmp/d")
  local s = v:snapshot()
  t:assert(exists(s:path() .. "/ram"))
  t:assert(not exists(s:path() .. "/delta"))
  v:restore(s)
  t:assert_eq(sh(v, "md5sum </tmp/d"), sum)
  t:assert_eq(sh(v, "cat /tmp/x"), "base\n")
  -- The one it came from is as it was.
  v:restore(base)
  t:assert_eq(sh(v, "md5sum </tmp/noise"), noise)
end)

test("deleting a snapshot leaves those that came from it", function(t)
  local v = provium:vm("chain"):restore(base)
  sh(v, "echo 1 >/tmp/x")
  local first = v:snapshot()
  v:restore(first)
  sh(v, "echo 2 >/tmp/x")
  first:delete()
  local second = v:snapshot()
  v:restore(second)
  t:assert_eq(sh(v, "cat /tmp/x"), "2\n")
  t:assert_eq(sh(v, "md5sum </tmp/noise"), noise)
end)

test("many VMs from one snapshot at once", function(t)
  local all = {}
  for i = 1, 4 do
    all[i] = function()
      local v = provium:vm("many" .. i):restore(base)
      sh(v, ("echo %d >/tmp/x"):format(i))
      return sh(v, "cat /tmp/x")
    end
  end
  local got = { provium.all(unpack(all)) }
  t:assert_eq(got, { "1\n", "2\n", "3\n", "4\n" })
  for i = 1, 4 do provium:vm("many" .. i):close() end
end)

-- --- time and entropy ---------------------------------------------------------

test("its clock goes on, or is set to now", function(t)
  local v = provium:vm("time"):restore(base)
  v:clock():set(1e9)
  local s = v:snapshot()
  v:restore(s)
  local then_ = v:clock():get()
  t:assert(then_ >= 1e9 and then_ < 1e9 + 60, then_)
  v:restore(s, { clock = "continue" })
  t:assert(v:clock():get() < 1e9 + 60)
  v:restore(s, { clock = "now" })
  t:assert(math.abs(v:clock():get() - os.time()) < 60, v:clock():get())
  local uptime = tonumber(sh(v, "cut -d. -f1 /proc/uptime"))
  t:assert(uptime < 600, uptime)
end)

test("bad options are refused and leave the guest as it is", function(t)
  raises(t, 'clock must be "continue" or "now", got "then"', function()
    vm:restore(base, { clock = "then" })
  end)
  raises(t, "colour", function() vm:restore(base, { colour = 1 }) end)
  raises(t, "snapshot must be a Snapshot, or the path of one, got a number",
    function() vm:restore(7) end)
  raises(t, "there is no snapshot in '/nonexistent'", function()
    vm:restore("/nonexistent")
  end)
  t:assert_eq(sh(vm, "cat /tmp/x"), "base\n")
end)

test("guests of one snapshot draw different random numbers", function(t)
  local draws = {
    "head -c 16 /dev/urandom | od -An -tx1",
    "cat /proc/sys/kernel/random/uuid",
    "echo $RANDOM $RANDOM $RANDOM $RANDOM",
  }
  local seen = {}
  local v = provium:vm("random"):restore(base)
  for _ = 1, 3 do
    v:restore(base)
    -- The first things after it; 318 is getrandom.
    local r = v:syscall(318, {
      args = { 0, 16, 0 }, bufs = { ("\0"):rep(16) }, ptrs = { [1] = 0 },
    })
    t:assert_eq(r.ret, 16)
    t:assert(not seen[r.out_bufs[1]], "getrandom")
    seen[r.out_bufs[1]] = true
    for _, draw in ipairs(draws) do
      local got = sh(v, draw)
      t:assert(not seen[got], draw)
      seen[got] = true
    end
  end
end)

test("a process that draws without end gets other numbers", function(t)
  local v = provium:vm("random")
  v:restore(base)
  local p = v:run_async("while :; do cat /proc/sys/kernel/random/uuid; "
    .. "done >/tmp/uuids")
  wait_until(function() return v:run("test -s /tmp/uuids"):ok() end)
  local s = v:snapshot()
  local tails = {}
  for i = 1, 2 do
    v:restore(s)
    v:run("sleep 0.5")
    tails[i] = sh(v, "tail -n 1 /tmp/uuids")
  end
  t:assert_neq(tails[1], tails[2])
  t:assert_eq(p:status(), "running")
end)

-- --- network ------------------------------------------------------------------

test("a restored guest keeps its address and its peers", function(t)
  local lan = provium:bridge("lan")
  local one, two = provium:vm("one"), provium:vm("two")
  lan:attach({ one, two })
  provium.all(function() one:boot() end, function() two:boot() end)
  local ip, mac = one:nic("lan"):ip(), one:nic("lan"):mac()
  sh(one, "ping -c 1 -w 30 two")
  local s = one:snapshot()
  for _ = 1, 2 do
    one:restore(s)
    t:assert_contains(sh(one, "ping -c 1 -w 10 two"), " 0% packet loss")
    t:assert_contains(sh(two, "ping -c 1 -w 10 one"), " 0% packet loss")
    t:assert_eq(one:nic("lan"):ip(), ip)
    t:assert_eq(one:nic("lan"):mac(), mac)
    t:assert_contains(sh(one, "ip -4 -o addr show eth0"), ip .. "/24")
  end
  -- A link that was pulled is, after.
  one:nic("lan"):disconnect()
  one:restore(s)
  t:assert_eq(sh(one, "cat /sys/class/net/eth0/carrier || true"), "0\n")
  one:nic("lan"):reconnect()
  sh(one, "ping -c 1 -w 30 two")
  -- So is one that is gone; it can be had again.
  lan:detach(one)
  one:restore(s)
  t:assert(not one:run("ping -c 1 -w 2 two"):ok())
  lan:attach(one)
  sh(one, "ping -c 1 -w 30 two")
end)

test("a guest that came to another place has the address of that",
  function(t)
    local v = provium:vm("mover")
    provium:bridge("here"):attach(v)
    v:boot()
    local s = v:snapshot(t:tmpdir() .. "/s")
    v:close()
    local lab = provium:lab("elsewhere")
    local other, peer = lab:vm("mover"), lab:vm("peer")
    lab:bridge("here"):attach({ peer, other })
    peer:boot()
    other:restore(s)
    t:assert_contains(sh(other, "ip -4 -o addr show eth0"),
      other:nic("here"):ip() .. "/24")
    t:assert_contains(sh(other, "ping -c 1 -w 30 peer"), " 0% packet loss")
    raises(t, "is on bridge 'there', where it was not", function()
      local third = provium:vm("third")
      provium:bridge("there"):attach(third)
      third:restore(s)
    end)
  end)

test("two guests of one snapshot cannot be on one bridge", function(t)
  local lan = provium:bridge("twins")
  local one, two = provium:vm("twin1"), provium:vm("twin2")
  lan:attach({ one, two })
  one:boot()
  local s = one:snapshot()
  raises(t, "its NIC has the MAC of another guest on bridge 'twins'",
    function() two:restore(s) end)
  t:assert_eq(two:state(), "dead")
end)

test("forwards reach a guest that was restored", function(t)
  local v = provium:vm("fwd"):restore(base)
  v:run_async("while :; do echo hello | nc -l -p 8080; done")
  wait_until(function()
    return v:run("cat /proc/net/tcp*").stdout:find(":1F90 ", 1, true)
  end, { timeout = 60 })
  local s = v:snapshot()
  local address = v:forward(8080)
  v:restore(s)
  t:assert_eq(v:forward(8080), address)
  -- Bytes are carried while the test waits for something of provium's.
  local path = t:tmpdir() .. "/heard"
  os.execute(("socat -u TCP:%s OPEN:%s,creat &"):format(address, path))
  wait_until(function()
    local f = io.open(path)
    return f and f:read("*a") == "hello\n"
  end, { timeout = 60 })
end)

-- --- what is done to it afterwards --------------------------------------------

test("a restored guest resets, reboots, shuts down and boots", function(t)
  local v = provium:vm("after"):restore(base)
  v:reset()
  t:assert(not v:run("test -e /tmp/x"):ok())
  v:restore(base)
  t:assert_raises(function() v:run("reboot -f; sleep 100") end)
  wait_until(function() return v:state() == "booting" end, { timeout = 60 })
  t:assert(not v:run("test -e /tmp/x"):ok())
  v:restore(base)
  v:power_button()
  wait_until(function() return v:state() == "shutdown" end, { timeout = 60 })
  v:restore(base)
  v:shutdown()
  v:boot()
  t:assert(not v:run("test -e /tmp/x"):ok())
  v:restore(base)
  t:assert_eq(sh(v, "cat /tmp/x"), "base\n")
end)

test("its console goes on where it was", function(t)
  local v = provium:vm("con"):restore(base)
  sh(v, "echo marker-one >/dev/console")
  v:console():expect("marker-one", 60)
  local s = v:snapshot()
  sh(v, "echo marker-two >/dev/console")
  v:console():expect("marker-two", 60)
  v:restore(s)
  v:console():expect("marker-one", 60)
  local log = v:console():read_log()
  t:assert_contains(log, "Linux version")
  t:assert(not log:find("marker-two", 1, true))
  sh(v, "echo marker-three >/dev/console")
  v:console():expect("marker-three", 60)
  t:assert_contains(v:console():read_log(), "marker-three")
end)

test("its kernel has nothing to complain of", function(t)
  local v = provium:vm("dmesg"):restore(base)
  v:run("sleep 2")
  -- Complaints of its boot, as a busy host causes them, are not counted.
  local log = sh(v, "dmesg")
  t:assert_eq(log:sub(1, #boot_log), boot_log)
  log = log:sub(#boot_log + 1)
  for _, bad in ipairs({ "soft lockup", "stall", "unstable", "BUG", "WARNING",
    "hrtimer: interrupt took", "skew" }) do
    t:assert(not log:find(bad, 1, true), bad)
  end
end)

test("two CPUs are restored", function(t)
  local v = provium:vm("smp", { cpus = 2 }):boot()
  local s = v:snapshot()
  for _ = 1, 2 do
    v:restore(s)
    t:assert_eq(sh(v, "taskset 1 echo a; taskset 2 echo b; nproc"),
      "a\nb\n2\n")
  end
end)

-- --- folders ------------------------------------------------------------------

test("path, size and delete", function(t)
  local v = provium:vm("f"):restore(base)
  local s = v:snapshot()
  t:assert(exists(s:path() .. "/info.json"))
  t:assert(s:size() > 0)
  t:assert_contains(tostring(s), s:path())
  local path = s:path()
  s:delete()
  t:assert(not exists(path .. "/info.json"))
  s:delete()
  for _, call in ipairs({ "path", "size" }) do
    raises(t, "the snapshot was deleted", function() s[call](s) end)
  end
  raises(t, "the snapshot was deleted", function() v:restore(s) end)
  t:assert_eq(v:state(), "booted")
end)

test("a snapshot with a path is kept, and may be replaced", function(t)
  local v = provium:vm("f"):restore(base)
  local path = t:tmpdir() .. "/deep/er"
  sh(v, "echo 1 >/tmp/x")
  local one = v:snapshot(path)
  t:assert_eq(one:path(), path)
  sh(v, "echo 2 >/tmp/x")
  v:snapshot(path)
  v:restore(path)
  t:assert_eq(sh(v, "cat /tmp/x"), "2\n")
  -- Over the one that it came from.
  sh(v, "echo 3 >/tmp/x")
  v:snapshot(path)
  v:restore(path)
  t:assert_eq(sh(v, "cat /tmp/x"), "3\n")
end)

test("a folder of others is left alone", function(t)
  local path = t:tmpdir() .. "/mine"
  os.execute("mkdir " .. path .. " && echo x >" .. path .. "/console")
  raises(t, "is no snapshot's folder: it holds 'console'", function()
    vm:snapshot(path)
  end)
  t:assert(exists(path .. "/console"))
  t:assert_eq(sh(vm, "cat /tmp/x"), "base\n")
end)

test("damage of every kind is told before anything ends", function(t)
  local v = provium:vm("f"):restore(base)
  local path = t:tmpdir() .. "/s"
  sh(v, "echo alive >/tmp/y")
  local damages = {
    { "rm %s/state", "its file 'state' is missing or cut" },
    { "truncate -s -1 %s/initrd", "its file 'initrd' is missing or cut" },
    { "truncate -s 1M %s/ram", "its file 'ram' is missing or cut" },
    { "echo >%s/info.json", "is no JSON object" },
    { "sed -i s/\\\"version\\\":./\\\"version\\\":9/ %s/info.json",
      "with another format: take it anew" },
    { "printf x | dd of=%s/bios bs=1 seek=100 conv=notrunc 2>/dev/null",
      "its file 'bios' is not what was written" },
    { "printf x | dd of=%s/state bs=1 seek=100 conv=notrunc 2>/dev/null",
      "its file 'state' is not what was written" },
    { "printf xy | dd of=%s/delta bs=1 seek=5000 conv=notrunc 2>/dev/null",
      "its file 'delta' is not what was written" },
    { "rm %s/info.json", "there is no snapshot in" },
  }
  for _, d in ipairs(damages) do
    v:snapshot(path)
    -- Files may be links to those of the one that it came from.
    os.execute(("cd %s && for f in *; do cp $f .x && mv .x $f; done")
      :format(path))
    os.execute(d[1]:format(path))
    raises(t, d[2], function() v:restore(path) end)
    t:assert_eq(sh(v, "cat /tmp/y"), "alive\n")
  end
end)

test("a flipped bit of an image is told", function(t)
  local v = provium:vm("bit"):boot()
  local path = t:tmpdir() .. "/s"
  v:snapshot(path)
  os.execute(("printf xy | dd of=%s/ram bs=1 seek=20000000 conv=notrunc "
    .. "2>/dev/null"):format(path))
  raises(t, "its file 'ram' is not what was written", function()
    v:restore(path)
  end)
end)

test("a snapshot of another QEMU is refused", function(t)
  local v = provium:vm("f"):restore(base)
  local path = t:tmpdir() .. "/s"
  v:snapshot(path)
  os.execute(("sed -i 's/\"qemu\": \"[^\"]*/\"qemu\": \"1.2.3 old/' "
    .. "%s/info.json"):format(path))
  local err = raises(t, "the snapshot is of QEMU 1.2.3 old, this one is ",
    function() v:restore(path) end)
  t:assert_contains(err, "take it anew")
end)

-- --- a guest that ends meanwhile ----------------------------------------------

test("a QEMU that is killed while a snapshot is taken says so", function(t)
  local v = provium:vm("k"):restore(base)
  local path = t:tmpdir() .. "/s"
  local pid, err = v:pid(), nil
  provium.all(
    function()
      err = tostring(t:assert_raises(function() v:snapshot(path) end))
    end,
    function() os.execute("kill -9 " .. pid) end)
  t:assert_contains(err, "killed by signal 9")
  t:assert_eq(v:state(), "dead")
  t:assert(not exists(path))
end)

test("a guest goes on after a snapshot that had no time", function(t)
  local v = provium:vm("late", { memory = "512M" }):boot()
  sh(v, "dd if=/dev/urandom of=/tmp/d bs=1M count=100")
  local path = t:tmpdir() .. "/s"
  local won = false
  -- The one that loses a race is given up.
  provium.race(
    function() v:snapshot(path) won = true end,
    function() wait_until(function() return exists(path .. "/ram") end) end)
  t:assert(not won, "it was given up")
  t:assert(not exists(path .. "/ram"))
  t:assert_eq(sh(v, "echo on"), "on\n")
  local s = v:snapshot(path)
  v:restore(s)
  t:assert_eq(sh(v, "echo on"), "on\n")
end)

local left

test("temporary snapshots go with their test", function(t)
  local path = vm:snapshot():path()
  t:assert(exists(path .. "/info.json"))
  left = path
end)

test("and are gone in the next", function(t)
  t:assert(not exists(left .. "/info.json"))
end)
