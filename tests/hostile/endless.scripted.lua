-- Guests whose console and processes print without end, into what nobody reads,
-- what searches in vain, and what takes it all: in bounded memory and in time.
provium.timeout = 120

local host = require("host")
local now = host.now
local MIB = 1024 * 1024
-- Of what is not the test's own. A search holds what it has not dropped yet.
local WORKER_MIB = 64

local vm = provium:vm("loud"):boot()

local function forget_peak()
  collectgarbage()
  local f = assert(io.open("/proc/self/clear_refs", "w"))
  f:write("5")
  f:close()
end

local function in_bounds(t, mib)
  t:assert(host.peak_mib() < (mib or WORKER_MIB), host.peak_mib())
  t:assert_eq(vm:run("echo alive").stdout, "alive\n")
end

test("output without end stops its process when nobody reads", function(t)
  -- Killed, it is over, whatever its unread streams still hold.
  forget_peak()
  local procs = {}
  for i = 1, 8 do
    procs[i] = vm:run_async(i % 2 == 0 and "yes" or "cat /dev/zero")
    procs[i]:stdout_stream()
  end
  vm:run("sleep 1")
  in_bounds(t)
  for _, p in ipairs(procs) do
    p:kill()
    t:assert(not p:wait(20):ok())
  end
end)

for _, case in ipairs({
  { "lines", "yes 'a line of a flood' >/dev/ttyS0" },
  { "no newline", "cat /dev/zero >/dev/ttyS0" },
  { "kernel messages", "echo on >/proc/sys/kernel/printk_devkmsg; "
    .. "while :; do echo '<1>flooded' >/dev/kmsg; done" },
}) do
  test("a console that prints without end: " .. case[1], function(t)
    forget_peak()
    local unread = vm:console():read()
    local p = vm:run_async(case[2])
    local start = now()
    t:assert_raises(function() vm:console():expect("never printed", 2) end)
    t:assert(now() - start < 10, now() - start)
    in_bounds(t)
    p:kill()
    p:wait(20)
    unread:close()
    t:assert(#vm:console():read_log() > MIB / 64)
  end)
end

for _, command in ipairs({ "yes", "cat /dev/zero" }) do
  test("a search in it ends by its deadline: " .. command, function(t)
    forget_peak()
    local p = vm:run_async(command)
    local s, start = p:stdout_stream(), now()
    local said = t:assert_raises(function() s:expect("never", 2) end)
    t:assert_contains(said, "never")
    t:assert(now() - start < 10, now() - start)
    p:kill()
    t:assert(not p:wait(20):ok())
    s:close()
    -- What a search looks through stays to be read (STREAM_PENDING_MAX).
    in_bounds(t, 1024)
  end)
end

test("a line without end is no line", function(t)
  forget_peak()
  local p = vm:run_async("cat /dev/zero")
  local start = now()
  pcall(function()
    for _ in p:stdout_stream():lines(2) do end
  end)
  t:assert(now() - start < 30, now() - start)
  p:kill()
  p:wait(20)
  in_bounds(t, 1024)
end)

test("a run that prints without end is cut at its time-out", function(t)
  local start = now()
  local r = vm:run("yes", { timeout = 1 })
  t:assert(r.timed_out)
  t:assert(#r.stdout > 1000)
  t:assert(now() - start < 20, now() - start)
end)
