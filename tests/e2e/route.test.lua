-- bridge:route(): from one network to another, over the gateways.
local left, right = provium:bridge("left"), provium:bridge("right")
local far = provium:bridge("far")
local a, b, c = provium:vm("a"), provium:vm("b"), provium:vm("c")
left:attach(a)
right:attach(b)
far:attach(c)
provium:boot()

local function ip(vm, bridge)
  return vm:nic(bridge):ip()
end

local function ping(from, address, options)
  return from:run("ping " .. (options or "-c 1 -w 20") .. " " .. address)
end

-- The code of what the gateway answers to one that cannot arrive; a SYN may be
-- sent again before that is heard.
local function unreachable(vm, bridge, address)
  local cap = bridge:capture({ filter = "icmp[0] == 3" })
  local r = vm:run({ "nc", "-w", "60", address, "7" })
  assert(not r:ok(), "somebody was there")
  local code
  for p in cap:packets(0) do
    assert(not code or code == p.data:byte(36))
    code = p.data:byte(36)
  end
  cap:close()
  return code
end

test("what has no route is told so at once", function(t)
  t:assert_eq(unreachable(a, left, ip(b, "right")), 0)
  t:assert_contains(ping(a, "b").stderr, "bad address")
  t:assert_eq(left:routes(), {})
  -- The same for the world outside.
  t:assert_eq(unreachable(a, left, "192.0.2.1"), 0)
end)

test("guests of both reach each other, by address and by name", function(t)
  t:assert_eq(left:route(right), left)
  t:assert_eq({ left:routes(), right:routes() }, { { "right" }, { "left" } })
  for _, address in ipairs({ ip(b, "right"), "b", "b.right" }) do
    local r = ping(a, address)
    t:assert(r:ok(), r.stdout .. r.stderr)
    t:assert_contains(r.stdout, "ttl=63")
  end
  t:assert(ping(b, "a.left"):ok())
end)

test("a route is of two bridges, and of no third", function(t)
  right:route(far)
  t:assert_eq(right:routes(), { "left", "far" })
  t:assert(ping(b, "c"):ok())
  t:assert_eq(unreachable(a, left, ip(c, "far")), 0)
end)

test("nobody there is told so", function(t)
  local nobody = ip(b, "right"):gsub("%d+$", "99")
  t:assert_eq(unreachable(a, left, nobody), 1)
end)

test("a packet's hops are counted", function(t)
  local cap = left:capture({ filter = "icmp[0] == 11" })
  ping(a, ip(b, "right"), "-c 1 -t 1 -W 2")
  local n = 0
  for p in cap:packets(0) do
    n = n + 1
    -- From the gateway, with the header that it is about.
    t:assert_eq(p.data:byte(27 + 3), 1)
    t:assert_contains(p.data:sub(43), provium:pack("B",
      tonumber(ip(b, "right"):match("%d+$"))))
  end
  t:assert_eq(n, 1)
  cap:close()
end)

test("TCP passes whole", function(t)
  local server = b:run_async("nc -l -p 6000 | md5sum")
  wait_until(function()
    return b:run("cat /proc/net/tcp*").stdout:find(":1770 ", 1, true)
  end, { timeout = 60 })
  a:run("head -c 2000000 /dev/urandom > /tmp/x", { check = true })
  a:run("nc b 6000 < /tmp/x", { check = true })
  t:assert_eq(server:wait(60).stdout, a:run("md5sum < /tmp/x").stdout)
end)

test("the rules of both networks hold", function(t)
  left:add_latency(20)
  right:add_latency(30)
  local ms = tonumber(ping(a, "b").stdout:match("time=([%d.]+) ms"))
  t:assert(ms >= 100, "a round trip took " .. ms .. " ms")
  left:reset():isolate(a)
  right:reset()
  t:assert(not ping(a, ip(b, "right"), "-c 2 -i 0.2 -W 1"):ok())
  t:assert(not ping(b, ip(a, "left"), "-c 2 -i 0.2 -W 1"):ok())
  left:unisolate(a)
  t:assert(ping(a, "b"):ok())
end)

test("captures see a packet on each of the networks", function(t)
  local l = left:capture({ filter = "icmp[0] == 8" })
  local r = right:capture({ filter = "icmp[0] == 8" })
  t:assert(ping(a, "b"):ok())
  for _, cap in ipairs({ l, r }) do
    local list = {}
    for p in cap:packets(0) do
      list[#list + 1] = p.data:byte(23) -- TTL
    end
    t:assert_eq(list, { cap == l and 64 or 63 })
    cap:close()
  end
end)

test("a route ends with either bridge", function(t)
  local other = provium:bridge("other")
  left:route(other)
  t:assert_eq(left:routes(), { "right", "other" })
  other:close()
  t:assert_eq(left:routes(), { "right" })
  t:assert(ping(a, "b"):ok())
end)

test("what is no other bridge is refused by name", function(t)
  local function refused(text, other)
    t:assert_contains(t:assert_raises(function()
      left:route(other)
    end), "bridge:route: " .. text)
  end
  refused("other must be a bridge, got a string", "right")
  refused("other must be a bridge, got nil", nil)
  refused("other is the bridge 'left' itself", left)
  local closed = provium:bridge("closed")
  closed:close()
  refused("other is a bridge that is closed", closed)
end)
