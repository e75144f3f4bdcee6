-- Captures of bridges and NICs, on real guests.
provium.timeout = 600

local ffi = require("ffi")
ffi.cdef("int getrlimit(int what, unsigned long *limits);"
  .. "int setrlimit(int what, const unsigned long *limits);")

local lan = provium:bridge("lan")
local a, b, c = provium:vm("a"), provium:vm("b"), provium:vm("c")
lan:attach({ a, b, c })
provium:boot()

local HEADER = 24 -- bytes of a pcap file's
local RECORD = 16 -- and of the head of each record
local FRAME = 42 -- Ethernet, IP and ICMP before the bytes of a ping

local function raises(t, text, fn)
  t:assert_contains(t:assert_raises(fn), text)
end

-- From vm, n pings of that size, all of which are answered.
local function ping(vm, peer, n, size)
  local r = vm:run(("ping -c %d -i 0.2 -w 120 -s %d %s"):format(n, size or 56,
    lan:nic(peer):ip()), { check = true, timeout = 130 })

  assert(r.stdout:find(n .. " packets received", 1, true), r.stdout)
end

-- So that switch and guests know their neighbours.
ping(a, b, 1)
ping(c, a, 1)
ping(c, b, 1)

-- What is there: whoever got a packet got it after it was captured.
local function packets(cap)
  local list = {}

  for p in cap:packets(0) do
    list[#list + 1] = p
  end
  return list
end

local function ip_at(p, offset)
  return table.concat({ p.data:byte(offset + 1, offset + 4) }, ".")
end

-- What tcpdump makes of the bytes of a file: its lines.
local function tcpdump(t, bytes)
  local path = t:tmpdir() .. "/x.pcap"
  local lines = {}

  local f = assert(io.open(path, "wb"))
  f:write(bytes)
  f:close()
  f = io.popen("tcpdump -r - -nn -e <" .. path .. " 2>&1; echo status $?")
  for line in f:lines() do
    lines[#lines + 1] = line
  end
  f:close()
  t:assert_eq(table.remove(lines), "status 0")
  t:assert_contains(table.remove(lines, 1), "link-type EN10MB (Ethernet)")
  return lines
end

test("without a packet it is a valid file", function(t)
  local cap = lan:capture({ filter = "host 203.0.113.9" })
  local head = cap:next()
  t:assert_eq(#head, HEADER)
  local magic, major, minor, zone, sigfigs, snaplen, link =
    string.unpack("=I4I2I2i4I4I4I4", head)
  t:assert_eq({ magic, major, minor }, { 0xa1b2c3d4, 2, 4 })
  t:assert_eq({ zone, sigfigs, snaplen, link }, { 0, 0, 65535, 1 })
  t:assert_eq(cap:drain(0), {})
  t:assert(not cap:eof())
  t:assert_eq(tcpdump(t, head), {})
end)

test("a ping is seen, each packet once", function(t)
  local cap = lan:capture({ filter = "icmp" })
  ping(a, b, 3)
  local list = packets(cap)
  t:assert_eq(#list, 6)
  local ip_a, ip_b = lan:nic(a):ip(), lan:nic(b):ip()
  local ways = {}
  for _, p in ipairs(list) do
    t:assert_eq(p.len, FRAME + 56)
    t:assert_eq(#p.data, p.len)
    t:assert(math.abs(p.time - os.time()) < 3600, p.time)
    local way = ip_at(p, 26) .. " > " .. ip_at(p, 30)
    ways[way] = (ways[way] or 0) + 1
  end
  t:assert_eq(ways, { [ip_a .. " > " .. ip_b] = 3, [ip_b .. " > " .. ip_a] = 3 })
end)

test("snaplen cuts the bytes, not the length", function(t)
  local cap = lan:capture({ filter = "icmp", snaplen = 34 })
  ping(a, b, 1, 1000)
  local list = packets(cap)
  t:assert_eq(#list, 2)
  t:assert_eq({ list[1].len, #list[1].data }, { FRAME + 1000, 34 })
end)

test("a frame is a packet, and all of them a file", function(t)
  local cap = lan:capture({ filter = "icmp" })
  ping(a, b, 1)
  ping(a, b, 1)
  local frames = cap:drain(0)
  t:assert_eq(#frames, 5)
  t:assert_eq(#frames[1], HEADER)
  for i = 2, 5 do
    t:assert_eq(#frames[i], RECORD + FRAME + 56)
  end
  local lines = tcpdump(t, table.concat(frames))
  t:assert_eq(#lines, 4)
  t:assert_contains(lines[1], "ICMP echo request")
  t:assert_contains(lines[1], lan:nic(a):mac() .. " > " .. lan:nic(b):mac())
  t:assert_contains(lines[2], "ICMP echo reply")
end)

test("a NIC's capture has its own traffic only", function(t)
  local of_a = lan:nic(a):capture({ filter = "icmp" })
  local of_c = c:nic("lan"):capture({ filter = "icmp" })
  ping(a, b, 2)
  t:assert_eq(#packets(of_a), 4)
  t:assert_eq(#packets(of_c), 0)
  ping(c, b, 1)
  t:assert_eq(#packets(of_a), 0)
  t:assert_eq(#packets(of_c), 2)
end)

test("what was sent before is not in it, all that follows is", function(t)
  for i = 1, 15 do
    ping(a, b, 1, 100 + i)
    local cap = lan:capture({ filter = "icmp" })
    ping(a, b, 1, 200 + i)
    local list = packets(cap)
    t:assert_eq(#list, 2)
    t:assert_eq(list[1].len, FRAME + 200 + i)
    t:assert_eq(list[2].len, FRAME + 200 + i)
    cap:close()
  end
end)

test("any number of captures run side by side", function(t)
  local all = {}
  for i = 1, 10 do
    all[i] = lan:capture({ filter = "icmp and greater " .. 100 * i })
  end
  ping(a, b, 1, 500)
  for i = 1, 10 do
    t:assert_eq(#packets(all[i]), i <= 5 and 2 or 0)
  end
end)

-- From a to b, by TCP.
local function transfer(t, size)
  local server = b:run_async("nc -l -p 5000 | wc -c")
  wait_until(function()
    return b:run("netstat -ltn | grep -q :5000"):ok()
  end, { timeout = 120, desc = "the listener" })
  a:run("head -c " .. size .. " /dev/zero | nc -w 120 b 5000",
    { check = true, timeout = 300 })
  t:assert_eq(server:wait(120):assert_ok().stdout, size .. "\n")
end

test("a reader that comes late gets every packet", function(t)
  local size = 4 * 1024 * 1024
  local cap = lan:capture({ filter = "tcp port 5000" })
  transfer(t, size)
  t:assert(cap:bytes() <= 1024 * 1024, "more is in memory than should be")
  local frames = cap:drain(0)
  local sum = 0
  for i = 2, #frames do
    sum = sum + #frames[i] - RECORD
  end
  t:assert(sum > size, sum)
  t:assert_eq(#tcpdump(t, table.concat(frames)), #frames - 1)
end)

-- As long as fn runs, no file of ours may grow beyond that.
local function with_small_files(bytes, fn)
  local RLIMIT_FSIZE = 1
  local old, small = ffi.new("unsigned long[2]"), ffi.new("unsigned long[2]")

  assert(ffi.C.getrlimit(RLIMIT_FSIZE, old) == 0)
  small[0], small[1] = bytes, old[1]
  assert(ffi.C.setrlimit(RLIMIT_FSIZE, small) == 0)
  local ok, err = pcall(fn)
  assert(ffi.C.setrlimit(RLIMIT_FSIZE, old) == 0)
  assert(ok, err)
end

test("a full disk is an error, behind all that was kept", function(t)
  local cap = lan:capture({ filter = "tcp port 5000" })
  local bytes = 0
  with_small_files(2000000, function() transfer(t, 5000000) end)
  raises(t, "cannot keep more packets for a slow reader", function()
    for p in cap:packets() do
      bytes = bytes + p.len
    end
  end)
  -- What there is room for in memory and on disk, less what surrounds it.
  t:assert(bytes > 2500000, bytes)
  t:assert(cap:eof())
  ping(a, b, 1)
end)

test("packets() waits for the next one", function(t)
  local cap = lan:capture({ filter = "icmp" })
  local n = 0
  local pinging = a:run_async("ping -c 3 -i 0.5 " .. lan:nic(b):ip())
  for p in cap:packets(60) do
    n = n + 1
    if n == 6 then
      break
    end
    t:assert_eq(p.len, FRAME + 56)
  end
  t:assert_eq(n, 6)
  pinging:wait(60)
end)

test("packets() ends at the time-out, and has taken nothing", function(t)
  local cap = lan:capture({ filter = "icmp" })
  t:assert_eq(#packets(cap), 0)
  t:assert(not cap:eof())
  ping(a, b, 1)
  local frames = cap:drain(0)
  t:assert_eq(#frames, 3)
  t:assert_eq(#frames[1], HEADER)
end)

test("packets(), next() and drain() may take turns", function(t)
  local cap = lan:capture({ filter = "icmp" })
  ping(a, b, 2)
  t:assert_eq(#cap:next(), HEADER)
  local step = cap:packets(0)
  t:assert_eq(step().len, FRAME + 56)
  t:assert_eq(#cap:next(), RECORD + FRAME + 56)
  t:assert_eq(step().len, FRAME + 56)
  t:assert_eq(#cap:drain(0), 1)
  t:assert_eq(step(), nil)
end)

test("inside of a packet, packets() is an error", function(t)
  local cap = lan:capture({ filter = "icmp" })
  ping(a, b, 1)
  cap:expect(string.pack("=I2I2", 2, 4), 0)
  raises(t, "stream:packets: a part of the next packet was taken already",
    function() packets(cap) end)
  cap:next(0)
  t:assert_eq(#packets(cap), 2)
end)

test("packets() of another stream is an error", function(t)
  local tail = a:tail_file("/etc/passwd")
  raises(t, "stream:packets: this stream is no capture",
    function() tail:packets() end)
end)

test("a capture that lost a race has lost no packet", function(t)
  local cap = lan:capture({ filter = "icmp" })
  ping(a, b, 5)
  local got = 0
  local function one()
    for p in cap:packets(0) do
      return p
    end
  end
  -- Whoever wins a round has one packet, and the other none.
  for _ = 1, 10 do
    if provium.race(one, function() a:run("true") end) then
      got = got + 1
    end
  end
  t:assert_eq(got + #packets(cap), 10)
end)

test("after close there is nothing", function(t)
  local cap = lan:capture()
  ping(a, b, 1)
  cap:close()
  cap:close()
  t:assert_eq(cap:next(), nil)
  t:assert_eq(cap:drain(), {})
  t:assert_eq(#packets(cap), 0)
  t:assert(cap:eof())
  raises(t, "capture closed", function() cap:expect("x") end)
  raises(t, "capture closed", function() cap:read_until("x") end)
  ping(a, b, 1)
end)

test("it ends with its bridge, after what was captured", function(t)
  local net = provium:bridge("net")
  local vm = provium:vm("v")
  net:attach(vm)
  local whole, own = net:capture(), net:nic(vm):capture()
  vm:boot()
  local gateway = net:nic(vm):ip():gsub("%d+$", "1")
  vm:run("ping -c 1 -w 120 " .. gateway, { check = true })
  vm:shutdown()
  net:detach(vm)
  t:assert(#packets(own) > 2)
  t:assert(own:eof())
  t:assert(not whole:eof())
  net:close()
  local frames = whole:drain()
  t:assert(whole:eof())
  t:assert(#tcpdump(t, table.concat(frames)) > 2)
  t:assert_eq(whole:next(), nil)
  raises(t, "stream EOF", function() whole:expect("x") end)
end)

test("it says what it is and where it was opened", function(t)
  local line = debug.getinfo(1, "l").currentline
  local whole, own = lan:capture(), lan:nic(b):capture()
  t:assert_eq({ whole:kind(), whole:detail() }, { "bridge_capture", "lan" })
  t:assert_eq({ own:kind(), own:detail() }, { "nic_capture", "b on lan" })
  local site = whole:creation_site()
  t:assert_match(site.file, "capture%.test%.lua$")
  t:assert_eq(site.line, line + 1)
end)

test("a filter knows the names of the bridge", function(t)
  local filters = { "icmp and host c", "icmp and (src c.lan or dst c)",
    "ether host c and icmp" }
  local caps = {}
  for i, filter in ipairs(filters) do
    caps[i] = lan:capture({ filter = filter })
  end
  ping(a, b, 1)
  ping(c, b, 2)
  for i, cap in ipairs(caps) do
    t:assert_eq(#packets(cap), 4, filters[i])
    cap:close()
  end
  local cap = lan:nic(c):capture({ filter = "icmp and host gateway.lan" })
  c:run("ping -c 1 -w 60 gateway", { check = true })
  t:assert_eq(#packets(cap), 2)
end)

test("a filter knows the broadcast address of the bridge", function(t)
  local cap = lan:capture({ filter = "icmp and ip broadcast" })
  ping(a, b, 1)
  t:assert_eq(#packets(cap), 0)
  a:run("ping -c 1 -W 1 " .. lan:nic(a):ip():gsub("%d+$", "255"))
  t:assert_eq(#packets(cap), 1)
end)

test("a filter that no frame can match is refused by name", function(t)
  for filter, word in pairs({ ["inbound"] = "inbound",
    ["not outbound"] = "outbound", ["ifindex 1"] = "ifindex",
    ["inbound or icmp"] = "inbound" }) do
    raises(t, "filter '" .. filter .. "': '" .. word .. "' is known only of a "
      .. "live interface", function() lan:capture({ filter = filter }) end)
    raises(t, "nic:capture: filter '" .. filter .. "': '" .. word .. "' is",
      function() lan:nic(a):capture({ filter = filter }) end)
  end
end)

test("a name of nobody on the bridge is refused, not looked up", function(t)
  for _, filter in ipairs({ "host nobody", "ether host nobody",
    "icmp or host nobody.example.com", "net nobody", "gateway nobody",
    "port nobody" }) do
    raises(t, "bridge:capture: filter '" .. filter .. "': 'nobody", function()
      lan:capture({ filter = filter })
    end)
  end
end)

test("what is wrong is said in libpcap's words", function(t)
  raises(t, "bridge:capture: filter 'icmpp': can't parse filter expression: "
    .. "syntax error", function() lan:capture({ filter = "icmpp" }) end)
  raises(t, "nic:capture: filter 'port': ", function()
    lan:nic(a):capture({ filter = "port" })
  end)
  raises(t, "bridge:capture: unknown option 'filtre'; valid: filter, snaplen",
    function() lan:capture({ filtre = "icmp" }) end)
  raises(t, "snaplen", function() lan:capture({ snaplen = 0 }) end)
  raises(t, "snaplen", function() lan:capture({ snaplen = 65536 }) end)
  raises(t, "filter", function() lan:capture({ filter = 5 }) end)
end)
