-- What a bridge does to frames between real guests. Bounds are of the kind
-- that a slow machine cannot break: what is delayed is never early.
local await_listener = require("listener").await

local lan = provium:bridge("lan")
local a, b, c = provium:vm("a"), provium:vm("b"), provium:vm("c")
lan:attach({ a, b, c })
provium:boot()

-- Only what a test sends is on the network: no IPv6, and fixed neighbours.
for _, vm in ipairs({ a, b, c }) do
  vm:run("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
  for _, other in ipairs({ a, b, c }) do
    if other ~= vm then
      local nic = other:nic("lan")
      vm:run({ "arp", "-s", nic:ip(), nic:mac() }, { check = true })
    end
  end
end

local function ip(vm)
  return vm:nic("lan"):ip()
end

-- What `ping` says, with these options.
local function ping(from, to, options)
  return from:run("ping " .. options .. " " .. ip(to)).stdout
end

local function reaches(from, to)
  return ping(from, to, "-c 1 -w 20"):find(" 0% packet loss", 1, true) ~= nil
end

local function is_cut_off(from, to)
  return ping(from, to, "-c 2 -i 0.2 -W 1"):find("100% packet loss", 1, true)
    ~= nil
end

-- Round trips in milliseconds, and the numbers of the answers in their order.
local function answers(text)
  local times, numbers = {}, {}
  for n, ms in text:gmatch("seq=(%d+) ttl=%d+ time=([%d.]+) ms") do
    numbers[#numbers + 1] = tonumber(n)
    times[#times + 1] = tonumber(ms)
  end
  return times, numbers
end

local function perfect(t)
  lan:reset():seed(0)
  t:assert_eq({ lan:latency_ms(), lan:drop_rate_pct(), lan:bandwidth_bps() },
    { 0, 0, 0 })
end

test("latency is there in both directions", function(t)
  perfect(t)
  lan:add_latency(30)
  t:assert_eq(lan:latency_ms(), 30)
  local times = answers(ping(a, b, "-c 4 -i 0.1 -W 20"))
  t:assert_eq(#times, 4)
  for _, ms in ipairs(times) do
    t:assert(ms >= 60, "a round trip took " .. ms .. " ms")
  end
end)

test("latencies of all rules add up, each in its direction", function(t)
  perfect(t)
  lan:add_latency(10)
  lan:add_latency({ from = a, ms = 20 })
  lan:add_directional_latency({ from = a, to = b, ms = 40, jitter = 5 })
  t:assert_eq(lan:latency_ms(), 10)
  t:assert_eq(lan:latency_ms({ from = a }), 20)
  t:assert_eq(lan:latency_ms({ from = a, to = b }), 40)
  t:assert_eq(lan:latency_ms({ from = b, to = a }), 0)
  for _, ms in ipairs((answers(ping(a, b, "-c 3 -i 0.1 -W 20")))) do
    t:assert(ms >= 10 + 20 + 35 + 10, "a round trip took " .. ms .. " ms")
  end
  for _, ms in ipairs((answers(ping(a, c, "-c 3 -i 0.1 -W 20")))) do
    t:assert(ms >= 10 + 20 + 10, "a round trip took " .. ms .. " ms")
  end
end)

test("a partition parts two and no others", function(t)
  perfect(t)
  t:assert_eq(lan:is_partitioned(a, b), false)
  lan:partition(a, b)
  t:assert_eq({ lan:is_partitioned(a, b), lan:is_partitioned(b, a),
    lan:is_partitioned(a, c) }, { true, true, false })
  t:assert(is_cut_off(a, b) and is_cut_off(b, a))
  t:assert(reaches(a, c) and reaches(b, c))
  lan:unpartition(b, a)
  t:assert_eq(lan:is_partitioned(a, b), false)
  t:assert(reaches(a, b))
end)

test("a partition may be of one direction", function(t)
  perfect(t)
  lan:partition({ from = a, to = b })
  t:assert_eq(lan:is_partitioned(a, b), true)
  t:assert_eq(lan:is_partitioned({ from = a, to = b }), true)
  t:assert_eq(lan:is_partitioned({ from = b, to = a }), false)
  -- What b sends arrives, what a answers does not.
  local cap = a:nic("lan"):capture({ filter = "icmp[0] == 8" })
  t:assert(is_cut_off(b, a))
  local n = 0
  for _ in cap:packets(0) do
    n = n + 1
  end
  t:assert_eq(n, 2)
  lan:unpartition({ from = a, to = b })
  t:assert(reaches(b, a))
end)

test("three fall apart and come together", function(t)
  perfect(t)
  lan:partition_all()
  for _, pair in ipairs({ { a, b }, { b, c }, { c, a } }) do
    t:assert(lan:is_partitioned(pair[1], pair[2]))
    t:assert(is_cut_off(pair[1], pair[2]))
  end
  lan:unpartition(a, b) -- a and b on one side, c on the other
  t:assert(reaches(a, b))
  t:assert(is_cut_off(c, a) and is_cut_off(c, b))
  lan:restore_all()
  t:assert(reaches(a, c) and reaches(c, b))
end)

test("an isolated guest reaches nobody but the gateway", function(t)
  perfect(t)
  lan:isolate(b):partition(a, c)
  t:assert_eq({ lan:is_isolated(b), lan:is_isolated(a) }, { true, false })
  t:assert_eq(lan:is_partitioned(a, b), false)
  t:assert(is_cut_off(a, b) and is_cut_off(b, c) and is_cut_off(a, c))
  t:assert_contains(b:run("nslookup a.lan", { check = true }).stdout, ip(a))
  lan:unisolate(b)
  t:assert(reaches(a, b) and is_cut_off(a, c))
  lan:isolate(b):restore_all()
  t:assert_eq(lan:is_isolated(b), false)
  t:assert(reaches(a, b) and reaches(a, c))
end)

test("a seed repeats which frames are lost", function(t)
  perfect(t)
  lan:drop_rate({ from = a, to = b, p = 40 })
  t:assert_eq(lan:drop_rate_pct({ from = a, to = b }), 40)
  t:assert_eq(lan:drop_rate_pct(), 0)
  -- The numbers of those that come, counted at b's NIC: a slow guest's answer
  -- may be too late for ping.
  local function arrived(seed)
    lan:seed(seed)
    local cap = b:nic("lan"):capture({ filter = "icmp[0] == 8" })
    ping(a, b, "-c 40 -i 0.02 -W 2")
    local numbers = {}
    for p in cap:packets(0) do
      numbers[#numbers + 1] = provium:unpack(">I2", p.data, 14 + 20 + 7)
    end
    cap:close()
    return numbers
  end
  local first = arrived(1)
  t:assert(#first > 8 and #first < 38, #first .. " of 40 came")
  t:assert_eq(arrived(1), first)
  t:assert_neq(arrived(2), first)
  lan:drop_rate({ from = a, to = b, p = 0 })
  t:assert_eq(#arrived(1), 40)
  lan:directional_drop_rate({ from = a, to = b, p = 100 })
  t:assert_eq(#arrived(1), 0)
end)

test("frames may come twice", function(t)
  perfect(t)
  lan:duplicate_rate({ from = a, to = b, p = 100 })
  local text = ping(a, b, "-c 5 -i 0.1 -W 20")
  t:assert_contains(text, "(DUP!)")
  t:assert_contains(text, "5 packets received, ")
end)

test("frames may pass each other", function(t)
  perfect(t)
  lan:reorder_rate({ from = a, to = b, p = 100 })
  -- A guest sends the fragments of a packet one behind the other. Of so many,
  -- two are sent within the time that a frame waits to be passed.
  local FRAGMENTS = 40
  local cap = b:nic("lan"):capture({ filter = "src " .. ip(a)
    .. " and ip[6:2] & 0x3fff != 0" })
  t:assert_contains(ping(a, b, "-c 1 -s " .. 1480 * FRAGMENTS - 8
    .. " -w 60"), " 0% packet loss")
  local n, last, passed = 0, -1, 0
  for p in cap:packets(0) do
    local offset = provium:unpack(">I2", p.data, 21) % 0x2000
    n, last, passed = n + 1, offset, passed + (offset < last and 1 or 0)
  end
  cap:close()
  t:assert_eq(n, FRAGMENTS)
  t:assert(passed > 0, "no frame passed another")
end)

test("what is corrupted is not taken", function(t)
  perfect(t)
  lan:corrupt_rate({ from = a, to = b, p = 100 })
  -- A flipped bit is in the IP header, the ICMP message or its data.
  t:assert(is_cut_off(a, b))
  lan:corrupt_rate({ from = a, to = b, p = 0 })
  t:assert(reaches(a, b))
end)

test("a pipe holds TCP to its rate, and loses nothing of it", function(t)
  perfect(t)
  local bytes = 1024 * 1024
  lan:bandwidth_limit(8e6)
  t:assert_eq(lan:bandwidth_bps(), 8e6)
  local server = b:run_async("nc -l -p 5000 | wc -c")
  await_listener(b, 5000)
  local r = a:run("head -c " .. bytes .. " /dev/zero | nc " .. ip(b)
    .. " 5000", { check = true, timeout = 120 })
  t:assert_eq(server:wait(120).stdout, bytes .. "\n")
  -- Its last 100 ms may still be in the queue.
  t:assert(r.duration >= bytes * 8 / 8e6 - 0.2,
    "it took " .. r.duration .. " s")
  lan:bandwidth_limit(0)
end)

test("TCP comes through the worst of networks", { timeout = 300 },
  function(t)
    perfect(t)
    lan:seed(3):add_latency({ ms = 2, jitter = 1 }):drop_rate(3)
      :duplicate_rate(3):reorder_rate(3):corrupt_rate(3)
      :bandwidth_limit(50e6)
    local bytes = 300000
    a:run("head -c " .. bytes .. " /dev/urandom > /tmp/sent")
    local sum = a:run("md5sum < /tmp/sent").stdout
    local server = b:run_async("nc -l -p 5001 | md5sum")
    await_listener(b, 5001)
    a:run("nc " .. ip(b) .. " 5001 < /tmp/sent", { timeout = 250,
      check = true })
    t:assert_eq(server:wait(30).stdout, sum)
  end)

-- Sends so many bytes by TCP, and says whether they came as they went.
local function pours(from, to, port, bytes, meanwhile)
  from:run("head -c " .. bytes .. " /dev/urandom > /tmp/sent")
  local sum = from:run("md5sum < /tmp/sent").stdout
  local server = to:run_async("nc -l -p " .. port .. " | md5sum")
  await_listener(to, port)
  local client = from:run_async(("nc %s %d < /tmp/sent"):format(ip(to), port))
  if meanwhile then
    meanwhile()
  end
  client:wait(200):assert_ok()
  return server:wait(60).stdout == sum
end

test("TCP comes through each of them", { timeout = 300 }, function(t)
  local cases = {
    { "add_latency", { from = a, to = b, ms = 20, jitter = 10 } },
    { "drop_rate", { from = a, to = b, p = 5 } },
    { "duplicate_rate", { to = b, p = 50 } },
    { "reorder_rate", { from = a, p = 20 } },
    { "corrupt_rate", 3 },
    { "bandwidth_limit", { from = b, to = a, bps = 1e6 } },
  }
  for i, case in ipairs(cases) do
    perfect(t)
    lan:seed(i)
    lan[case[1]](lan, case[2])
    t:assert(pours(a, b, 5100 + i, 100000), case[1])
  end
end)

test("a connection outlives the partition of its ends", { timeout = 300 },
  function(t)
    perfect(t)
    -- Slow enough that it is cut in its middle.
    lan:bandwidth_limit({ from = a, to = b, bps = 4e6 })
    t:assert(pours(a, b, 5200, 1000000, function()
      local nic = b:nic("lan")
      local before = nic:counters().rx_bytes
      wait_until(function()
        return nic:counters().rx_bytes > before + 100000
      end, { timeout = 60, interval = 0.02, desc = "some of it" })
      lan:partition_all()
      local got = nic:counters().rx_bytes
      t:assert(got - before < 900000, "all of it came before the cut")
      t:assert(is_cut_off(c, a) and is_cut_off(c, b))
      t:assert_eq(nic:counters().rx_bytes, got)
      -- One side heals, which is not theirs; then all.
      lan:unpartition(a, c)
      t:assert(reaches(a, c) and is_cut_off(c, b))
      lan:restore_all()
    end))
    t:assert(reaches(a, b) and reaches(b, c))
  end)

test("what is told wrong is refused by name", function(t)
  perfect(t)
  local off = provium:vm("off")
  local function refused(text, method, ...)
    local args, n = { ... }, select("#", ...)
    local e = t:assert_raises(function()
      lan[method](lan, unpack(args, 1, n))
    end)
    t:assert_match(e, "^[^\n]*impairments.test.lua:%d+: bridge:" .. method
      .. ": [^\n]*$")
    t:assert_contains(e, text)
  end
  refused("ms must be a number, got a string", "add_latency", "5")
  refused("ms must be a number from 0 to 3600000, got -1",
    "add_latency", -1)
  refused("to 3600000, got ", "add_latency", 0 / 0)
  refused("got inf", "bandwidth_limit", math.huge)
  refused("percent must be a number from 0 to 100, got 101", "drop_rate", 101)
  refused("needs ms", "add_latency", { from = a })
  refused("jitter must be a number from 0", "add_latency",
    { ms = 1, jitter = -2 })
  refused("unknown option 'jitter'; valid: from, to, p", "drop_rate",
    { p = 1, jitter = 2 })
  refused("unknown option 'form'; valid: from, to, bps", "bandwidth_limit",
    { form = a, bps = 1 })
  refused("from must be a VM, got a string", "reorder_rate",
    { from = "a", p = 1 })
  refused("both ends are the same VM", "corrupt_rate",
    { from = a, to = a, p = 1 })
  refused("VM 'off' is not on bridge 'lan'", "duplicate_rate",
    { to = off, p = 1 })
  refused("options must be a table, got a number", "add_directional_latency",
    5)
  refused("needs both from and to", "directional_drop_rate",
    { from = a, p = 1 })
  refused("needs both from and to", "partition", { from = a })
  refused("b must be a VM, got nothing", "partition", a)
  refused("both ends are the same VM", "unpartition", b, b)
  refused("VM 'off' is not on bridge 'lan'", "isolate", off)
  refused("vm must be a VM, got nothing", "is_isolated")
  refused("seed must be", "seed", "x")
  refused("unknown option 'x'", "latency_ms", { x = 1 })
  -- None of these changed anything.
  t:assert_eq(lan:latency_ms(), 0)
  t:assert(reaches(a, b))
end)

test("a closed bridge says so", function(t)
  local other = provium:bridge("other")
  other:close()
  t:assert_contains(t:assert_raises(function()
    other:add_latency(1)
  end), "bridge:add_latency: the bridge is closed")
end)
