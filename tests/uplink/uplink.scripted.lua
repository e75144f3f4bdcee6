-- bridge:enable_uplink(), run by uplink.sh: on the host's loopback there are a
-- web server at port 8080, also as 192.0.2.80, and a name server that knows
-- www.example.test to be that.
local lan, quiet = provium:bridge("lan"), provium:bridge("quiet")
local a, b, c = provium:vm("a"), provium:vm("b"), provium:vm("c")
lan:attach({ a, b })
quiet:attach(c)
provium:boot()

local function get(vm, url, within)
  return vm:run("timeout " .. (within or 50) .. " wget -q -O - " .. url)
end

test("there is none unless it was asked for", function(t)
  t:assert(not get(a, "http://192.0.2.80:8080/hello"):ok())
  local r = get(a, "http://www.example.test:8080/hello")
  t:assert_contains(r.stderr, "bad address")
  t:assert_contains(get(a, "http://host:8080/hello").stderr, "bad address")
end)

test("guests reach what the host reaches", function(t)
  t:assert_eq(lan:enable_uplink(), lan)
  t:assert_eq(lan:enable_uplink(), lan)
  t:assert_eq(get(a, "http://192.0.2.80:8080/hello").stdout, "hello\n")
  t:assert_eq(get(b, "http://192.0.2.80:8080/hello").stdout, "hello\n")
end)

test("names are those of the host's name server", function(t)
  t:assert_eq(get(a, "http://www.example.test:8080/hello").stdout, "hello\n")
  t:assert_contains(a:run("nslookup www.example.test").stdout, "192.0.2.80")
  t:assert(not a:run("nslookup nobody.example.test"):ok())
end)

test("names of guests stay their own", function(t)
  t:assert(a:run("ping -c 1 -w 30 b.lan"):ok())
  t:assert(not a:run("nslookup nobody.lan"):ok())
end)

test("the host is a name", function(t)
  t:assert_eq(get(a, "http://host:8080/hello").stdout, "hello\n")
  t:assert_eq(get(a, "http://host.lan:8080/hello").stdout, "hello\n")
  t:assert(a:run("ping -c 1 -w 30 host"):ok())
end)

test("what nobody serves is refused, not waited for", function(t)
  local r = get(a, "http://192.0.2.80:8081/")
  t:assert_contains(r.stderr, "Connection refused")
end)

test("much goes both ways, whole", function(t)
  local sum = "sha256sum | cut -d ' ' -f 1"
  local down = a:run("wget -q -O - http://host:8080/large | " .. sum, { check = true })
  t:assert_eq(down.stdout, get(a, "http://host:8080/large.sum").stdout)
  local up = a:run([[
    head -c 3000000 /dev/urandom >/tmp/up && sha256sum </tmp/up | cut -d ' ' -f 1
    { printf 'POST / HTTP/1.0\r\nContent-Length: 3000000\r\n\r\n'; cat /tmp/up; } |
      nc host 8080]], { check = true })
  local sent, got = up.stdout:match("^(%x+)\n.*\n(%x+)\n$")
  t:assert(sent, up.stdout)
  t:assert_eq(got, sent)
end)

test("many flows at a time", function(t)
  local r = a:run([[
    for i in 1 2 3 4 5 6 7 8 9 10; do
      wget -q -O - http://host:8080/hello &
    done
    wait]], { check = true })
  t:assert_eq(r.stdout, ("hello\n"):rep(10))
end)

test("the rules of the bridge are for them, too", function(t)
  local cap = lan:nic(a):capture({ filter = "tcp[tcpflags] & tcp-syn != 0" })
  lan:add_latency({ from = a, ms = 200 })
  t:assert_eq(get(a, "http://host:8080/hello").stdout, "hello\n")
  local times = {}
  for p in cap:packets(0) do
    times[#times + 1] = p.time
  end
  cap:close()
  t:assert(times[2] - times[1] >= 0.19, "answered after " .. times[2] - times[1])
  lan:add_latency({ from = a, ms = 0 })
  lan:isolate(a)
  t:assert(not get(a, "http://host:8080/hello", 2):ok())
  t:assert_eq(get(b, "http://host:8080/hello").stdout, "hello\n")
  lan:reset()
end)

test("other bridges have none", function(t)
  t:assert(not get(c, "http://192.0.2.80:8080/hello"):ok())
  -- A route leads to guests, not through their way out.
  quiet:route(lan)
  t:assert(c:run("ping -c 1 -w 30 a"):ok())
  t:assert(not get(c, "http://192.0.2.80:8080/hello"):ok())
end)

test("it ends, and can begin anew", function(t)
  t:assert_eq(lan:disable_uplink(), lan)
  t:assert_eq(lan:disable_uplink(), lan)
  t:assert(not get(a, "http://192.0.2.80:8080/hello"):ok())
  lan:enable_uplink()
  t:assert_eq(get(a, "http://192.0.2.80:8080/hello").stdout, "hello\n")
end)

test("a closed bridge has no uplink to enable", function(t)
  local gone = provium:bridge("gone")
  gone:enable_uplink()
  gone:close()
  t:assert_raises(function() gone:enable_uplink() end, "closed")
end)
