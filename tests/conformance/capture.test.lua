-- Captures behave as streams do, on the packets of real guests.
local lan = provium:bridge("lan")
local vm = provium:vm("sender")
local peer = provium:vm("peer")
lan:attach({vm, peer})
provium:boot()

local AF_INET, SOCK_DGRAM = 2, 2
local SYS = {socket = 41, sendto = 44}
local socket = vm:syscall(SYS.socket, AF_INET, SOCK_DGRAM, 0).ret

-- struct sockaddr_in of the peer: port 9, where nobody listens.
local function address_of_peer()
  local address = string.pack("<I2", AF_INET) .. string.pack(">I2", 9)
  for byte in lan:nic(peer):ip():gmatch("%d+") do
    address = address .. string.char(byte)
  end
  return address .. ("\0"):rep(8)
end

-- One datagram with these bytes.
local function say(text)
  local address = address_of_peer()
  local r = vm:syscall(SYS.sendto, {
    args = {socket, 0, #text, 0, 0, #address},
    bufs = {text, address}, ptrs = {1, 4},
  })
  assert(r.ret == #text, r.errno)
end

local function filtered(open)
  return open({filter = "udp port 9"})
end

local kinds = {
  {name = "bridge_capture", open = function(o) return lan:capture(o) end},
  {name = "nic_capture", open = function(o) return lan:nic(vm):capture(o) end},
}


for _, kind in ipairs(kinds) do
  local function conforms(name, fn)
    test(kind.name .. ": " .. name, fn)
  end

  conforms("the global header comes once, then a frame for each packet", function(t)
    local s = filtered(kind.open)
    t:assert_eq(#s:next(), 24)
    say("one")
    say("two")
    local one, two = s:next(), s:next()
    t:assert_contains(one, "one")
    t:assert_contains(two, "two")
    t:assert_eq(s:next(0), nil)
  end)

  conforms("next returns nil at a time-out and takes nothing", function(t)
    local s = filtered(kind.open)
    s:next()
    t:assert_eq(s:next("50ms"), nil)
    t:assert_eq(s:eof(), false)
    say("later")
    t:assert_contains(s:next(), "later")
  end)

  conforms("read_until returns all up to and with the match, the rest is the next frame",
    function(t)
      local s = filtered(kind.open)
      say("alpha-beta")
      local got = s:read_until("alpha")
      t:assert_eq(got:sub(-5), "alpha")
      t:assert_eq(#got > 24 + 16 + 42, true)
      t:assert_eq(s:next(), "-beta")
    end)

  conforms("expect returns nothing and drops what it matched", function(t)
    local s = filtered(kind.open)
    say("gamma-delta")
    t:assert_eq(select("#", s:expect("gamma")), 0)
    t:assert_eq(s:next(), "-delta")
  end)

  conforms("of several patterns the earliest match wins", function(t)
    local s = filtered(kind.open)
    say("xx login: panic")
    t:assert_eq(s:expect({"panic", "login:", "never"}), 2)
  end)

  conforms("a time-out names the pattern and shows the last bytes", function(t)
    local s = filtered(kind.open)
    say("the end of it")
    wait_until(function() return s:bytes() > 24 end)
    local err = t:assert_raises(function() s:expect("absent", "50ms") end)
    t:assert_contains(err, "expect timed out waiting for `absent`")
    t:assert_contains(err, "the end of it")
    t:assert_match(err, "^tests/conformance/capture.test.lua:%d+: ")
    err = t:assert_raises(function() s:read_until("absent", "50ms") end)
    t:assert_contains(err, "read_until timed out waiting for `absent`")
    s:expect("the end of it")
  end)

  conforms("drain collects a frame for each element, pending bytes first", function(t)
    local s = filtered(kind.open)
    say("one-rest")
    say("two")
    s:expect("one")
    local frames = s:drain(1)
    t:assert_eq(#frames, 2)
    t:assert_eq(frames[1], "-rest")
    t:assert_contains(frames[2], "two")
    t:assert_eq(s:drain(0), {})
  end)

  conforms("close drops pending bytes, and may come again", function(t)
    local s = filtered(kind.open)
    say("stale")
    wait_until(function() return s:bytes() > 24 end)
    s:close()
    s:close()
    t:assert_eq(s:next(), nil)
    t:assert_eq(s:drain(), {})
    t:assert_eq(s:eof(), true)
    t:assert_contains(t:assert_raises(function() s:expect("stale") end),
      "capture closed")
    t:assert_contains(t:assert_raises(function() s:read_until("stale") end),
      "capture closed")
  end)

  conforms("creation_site is where the author opened it", function(t)
    local s = kind.open() -- this line
    local site = s:creation_site()
    t:assert_match(site.file, "tests/conformance/capture.test.lua$")
    t:assert(site.line < debug.getinfo(1, "l").currentline)
    t:assert_eq(s:kind(), kind.name)
  end)
end

test("a capture ends with its bridge, and eof waits for what is pending", function(t)
  local other = provium:bridge("other")
  local s = other:capture()
  other:close()
  t:assert_eq(s:eof(), false)
  t:assert_eq(#s:next(), 24)
  t:assert_eq(s:eof(), true)
  t:assert_eq(s:next(), nil)
  t:assert_contains(t:assert_raises(function() s:expect("x") end), "stream EOF")
  local n = 0
  while s:next() do
    n = n + 1
  end
  t:assert_eq(n, 0)
end)

test("a drained capture goes through a pcap parser", function(t)
  local cap = lan:capture()
  vm:run("ping -c 5 -i 0.2 peer.lan", {check = true})
  local pcap = table.concat(cap:drain("2s"))
  local path = t:tmpdir() .. "/ping.pcap"
  local f = assert(io.open(path, "wb"))
  f:write(pcap)
  f:close()
  local p = assert(io.popen("tcpdump -nn -r " .. path .. " icmp 2>&1"))
  local text = p:read("*a")
  p:close()
  local _, requests = text:gsub("ICMP echo request", "")
  local _, replies = text:gsub("ICMP echo reply", "")
  t:assert_eq({requests, replies}, {5, 5}, text)
end)
