-- The console: the log, expect, ConsoleStreams, write.
provium.timeout = 300

local ffi = require("ffi")
ffi.cdef([[
struct provium_test_timespec { long s, ns; };
int clock_gettime(int id, struct provium_test_timespec *t);
]])

local function now()
  local t = ffi.new("struct provium_test_timespec")
  ffi.C.clock_gettime(1, t)
  return tonumber(t.s) + tonumber(t.ns) / 1e9
end

local vm = provium:vm("con"):boot()

-- The guest prints the text, and the test knows that it has arrived.
local function say(text)
  vm:run({ "/bin/sh", "-c", 'printf "$0\\n" >/dev/ttyS0', text },
    { check = true })
  vm:console():expect(text .. "\r\n", 60)
end

local function count(s, text)
  local n, at = 0, 1
  while true do
    local from, to = s:find(text, at, true)
    if not from then return n end
    n, at = n + 1, to + 1
  end
end

test("the log begins with the guest's first byte", function(t)
  local log = vm:console():read_log()
  t:assert_eq(log:sub(1, 29), "[    0.000000] Linux version ")
  t:assert_contains(log, "\r\n")
  t:assert(not log:find("[^\r]\n"), "a line without its CR")
end)

test("the log holds the firmware's output", function(t)
  local other = provium:vm("fw", { qemu_args = { "-machine", "graphics=off" } })
  other:boot()
  local log = other:console():read_log()
  local bios = log:find("SeaBIOS (version", 1, true)
  t:assert(bios and bios < log:find("Linux version", 1, true), log:sub(1, 200))
  -- It begins by clearing the screen: nothing before that was lost.
  t:assert_eq(log:sub(1, 1), "\27")
  other:console():expect("SeaBIOS (version", 0)
end)

test("bytes are unaltered", function(t)
  vm:run([[printf 'bytes \0\1\177\200\377\33[1m\r\n.' >/dev/ttyS0]])
  local want = "bytes \0\1\127\128\255\27[1m\r\r\n."
  t:assert_eq(vm:console():expect(want, 60), want)
  t:assert_contains(vm:console():read_log(), want)
end)

test("expect finds what was printed, waits for what was not", function(t)
  say("already here")
  local c = vm:console()
  t:assert_eq(c:expect("already here", 0), "already here")
  t:assert_eq(c:expect("already here", 0), "already here")
  local p = vm:run_async("sleep 0.3; printf 'to' >/dev/ttyS0; sleep 0.3; " ..
    "printf 'gether' >/dev/ttyS0")
  t:assert_eq(c:expect("together", 60), "together")
  t:assert(p:wait(60):ok())
  local e = t:assert_raises(function() c:expect("never", "50ms") end)
  t:assert_contains(e, "console:expect: expect timed out waiting for `never`")
  t:assert_contains(e, "last bytes: ")
  t:assert_contains(t:assert_raises(function() c:expect("") end),
    "console:expect: text is empty")
end)

test("expect consumes nothing of a stream", function(t)
  local s = vm:console():read()
  s:drain(0)
  say("for both")
  t:assert_contains(s:read_until("for both", 60), "for both")
  s:close()
end)

test("a stream starts where no earlier one has read", function(t)
  local a = vm:console():read()
  a:drain(0)
  say("one")
  a:read_until("one\r\n", 60)
  say("two")
  -- b sees what a has not read; then both see everything.
  local b = vm:console():read()
  b:read_until("two\r\n", 60)
  t:assert_contains(a:read_until("two\r\n", 60), "two")
  say("three")
  a:expect("three\r\n", 60)
  b:expect("three\r\n", 60)
  say("four")
  a:close()
  b:close()
  local c = vm:console():read()
  t:assert_contains(c:read_until("four\r\n", 60), "four")
  t:assert(c:bytes() < 1000, "only what was left")
  c:close()
end)

test("a time-out is the call's own", function(t)
  local s = vm:console():read()
  s:drain(0)
  local got
  provium.all(function()
    t:assert_eq(s:next("20ms"), nil)
    t:assert(not s:eof())
    -- A bare next does not inherit the 20 ms.
    got = s:next()
  end, function() vm:run("sleep 1; echo late >/dev/ttyS0") end)
  t:assert(got and #got > 0)
  s:close()
end)

test("next waits 10 s by default", function(t)
  local s = vm:console():read()
  say("something")
  t:assert(s:next("60s"))
  -- Not the 60 s of before. A kernel that has something to say ends a wait.
  local before, got
  repeat
    before = now()
    got = s:next()
  until not got
  local span = now() - before
  t:assert(span >= 9.9 and span < 58, span)
  s:close()
end)

test("streams behave as streams", function(t)
  local s = vm:console():read()
  s:drain(0)
  t:assert_eq(s:kind(), "console_stream")
  t:assert_eq(s:detail(), "con")
  t:assert_match(s:creation_site().file, "console%.test%.lua$")
  say("x login: y")
  s:expect("login:", 60)
  -- What follows a match is still to come.
  t:assert_eq(table.concat(s:drain(0)):sub(1, 2), " y")
  local e = t:assert_raises(function() s:expect("never", "20ms") end)
  t:assert_contains(e, "stream:expect: expect timed out waiting for `never`")
end)

test("a closed stream has ended and says so", function(t)
  local s = vm:console():read()
  say("pending")
  s:close()
  s:close()
  t:assert_eq(s:next(), nil)
  t:assert_eq(s:drain(), {})
  t:assert_eq(s:eof(), true)
  for _, method in ipairs({ "expect", "read_until" }) do
    t:assert_contains(
      t:assert_raises(function() s[method](s, "x") end), "console closed")
  end
  s = vm:console():read()
  t:assert_contains(s:read_until("pending", 60), "pending")
end)

test("write reaches a reader in the guest", function(t)
  local p = vm:run_async("exec 3</dev/ttyS0; echo ready; read x <&3; " ..
    "read y <&3; echo \"$x, $y\"")
  p:stdout_stream():expect("ready\n", 60)
  vm:console():write("first line\nanother")
  vm:console():write(" line\n", { timeout = 60 })
  t:assert_eq(p:wait(60).stdout, "ready\nfirst line, another line\n")
end)

test("a console object is a name that can be closed", function(t)
  local c, other = vm:console(), vm:console()
  c:close()
  c:close()
  for _, call in ipairs({ "read", "read_log", "write", "expect" }) do
    t:assert_contains(
      t:assert_raises(function() c[call](c) end),
      "console:" .. call .. ": console is closed")
  end
  t:assert_contains(other:read_log(), "Linux version")
  t:assert_contains(t:assert_raises(function()
    provium:vm("unborn"):console()
  end), "vm:console: VM 'unborn' is created: call vm:boot() first")
end)

test("reset and shutdown are the end of streams, not of the log", function(t)
  local c = vm:console()
  say("before the reset")
  local s = c:read()
  vm:reset()
  t:assert_contains(s:read_until("before the reset\r\n", 60), "before")
  local e = t:assert_raises(function() s:expect("never", 60) end)
  t:assert_contains(e, "console EOF")
  t:assert_contains(e, "stream EOF")
  s:drain(60)
  t:assert_eq(s:next(60), nil)
  t:assert_eq(s:eof(), true)
  -- It searches from the reset on.
  t:assert_contains(t:assert_raises(function()
    c:expect("before the reset", 0)
  end), "timed out")
  c:expect("Linux version", 60)
  t:assert_eq(count(c:read_log(), "Linux version"), 2)

  s = c:read()
  vm:shutdown()
  e = t:assert_raises(function() s:expect("never", 60) end)
  t:assert_contains(e, "console EOF")
  -- What came before the end is still there to be read.
  t:assert_contains(table.concat(s:drain(60)), "reboot: Power down")
  t:assert_eq(s:next(60), nil)
  t:assert_eq(s:eof(), true)
  local log = c:read_log()
  t:assert_contains(log, "before the reset\r\n")
  t:assert_contains(log, "reboot: Power down")
  c:expect("reboot: Power down", 0)
  t:assert_contains(t:assert_raises(function() c:expect("never", 60) end),
    "console EOF")
  t:assert_contains(t:assert_raises(function() c:write("x") end),
    "console:write: VM 'con' is shutdown: call vm:boot() to start it again")
  vm:boot()
  t:assert_contains(t:assert_raises(function()
    c:expect("reboot: Power down", 0)
  end), "timed out")
  t:assert_eq(count(c:read_log(), "Linux version"), 3)
  t:assert_eq(c:read_log():sub(1, #log), log)
end)

test("a dead guest's console can still be read", function(t)
  local other = provium:vm("mortal"):boot()
  local s = other:console():read()
  other:run("echo last words >/dev/ttyS0")
  other:console():expect("last words", 60)
  os.execute("kill -9 " .. other:pid())
  t:assert_raises(function() other:run("sleep 60") end)
  t:assert_contains(other:console():read_log(), "last words\r\n")
  t:assert_contains(s:read_until("last words", 60), "last words")
  t:assert_contains(t:assert_raises(function() s:expect("x", 60) end),
    "console EOF")
end)

test("a reset waits as long as a boot may", function(t)
  local other, timeout
  -- As short as this host can do.
  for seconds = 10, 40, 15 do
    other, timeout = provium:vm("r" .. seconds), seconds
    if pcall(other.boot, other, { agent_timeout = seconds }) then break end
  end
  if other:state() ~= "booted" then
    t:skip("a boot takes more than 40 s here")
  end
  os.execute("kill -STOP " .. other:pid())
  local before = now()
  local e = t:assert_raises(function() other:reset() end)
  local span = now() - before
  t:assert_contains(e, "vm:reset: ")
  t:assert(span >= timeout - 0.1 and span < 58, span)
end)

for _, how in ipairs({
  { args = { "-serial", "null" } },
  { args = { "-serial", "null", "-serial", "null", "-serial", "null" } },
  { args = { "-chardev", "null,id=x", "-device", "isa-serial,chardev=x" } },
  { args = { "-chardev", "null,id=x", "-device", "pci-serial,chardev=x" },
    port = "ttyS4" },
}) do
  test("a second serial port leaves the console: " ..
    table.concat(how.args, " "), function(t)
    local v = provium:vm("two", { qemu_args = how.args }):boot()
    v:run("echo on the first >/dev/ttyS0", { check = true })
    v:console():expect("on the first\r\n", 60)
    -- Where there is no such port, this would write a file.
    local other = "/dev/" .. (how.port or "ttyS1")
    v:run("test -c " .. other .. " && echo on the second >" .. other,
      { check = true })
    t:assert(not v:console():read_log():find("on the second", 1, true))
  end)
end
