-- A guest whose agent means harm hurts its own VM, in clear words, in time and
-- in bounded memory, and nothing else. Run by hostile.sh, which has every guest
-- started with tests/hostile/agent.c; a word of the kernel's command line says
-- who is ill.
provium.timeout = 120

local host = require("host")
local now, peak_mib = host.now, host.peak_mib

-- What a worker may take at its peak, of memory that is not the test's own:
-- a session's windows and messages in pieces (SESSION_PARTIAL_MAX, 16 MiB), and
-- as much again for the rest.
local WORKER_MIB = 48
-- Beyond the deadline that was asked for: one turn of a busy machine.
local GRACE = 5

local well = provium:vm("well"):boot()

local function ill(name, word)
  return provium:vm(name, {
    kernel_cmdline_append = "hostile=" .. (word or "on"), agent_timeout = 20,
  })
end

-- For all that a VM survives.
local patient = ill("patient"):boot()

-- fn raises an error with all of these words, and the worker stays small.
local function fails(t, fn, ...)
  local said = t:assert_raises(fn)
  for _, words in ipairs({ ... }) do
    t:assert_contains(said, words)
  end
  t:assert(peak_mib() < WORKER_MIB, peak_mib())
  return said
end

-- fn is given up after so long, and is over soon after that.
local function given_up_after(t, seconds, fn)
  local start = now()
  local first = provium.race(
    function() return fn() or "answered" end,
    function() well:run({ "sleep", tostring(seconds) }) return "late" end)
  t:assert_eq(first, "late")
  t:assert(now() - start < seconds + GRACE, now() - start)
end

-- Another machine of the same worker is none the worse for it.
local function others_are_well(t)
  t:assert_eq(well:run("echo well").stdout, "well\n")
  t:assert_eq(well:state(), "booted")
end

-- --- what costs the VM ------------------------------------------------------

local BROKE = "the agent broke the protocol: "

-- Those that take another path of the same code are slow: CI asks for them.
for _, case in ipairs({
  { "noise", BROKE .. "what it sent is no frame" },
  { "too-long", BROKE .. "what it sent is no frame", "16777215 bytes",
    slow = true },
  { "wrong-kind", BROKE .. "what it sent is no frame", "kind 9", slow = true },
  { "half-then-hello", BROKE .. "what it sent is no frame" },
  { "opens", BROKE .. "it opens a channel" },
  { "false-credit", BROKE .. "credit that nobody used" },
  { "no-credit", BROKE .. "credit that nobody used", slow = true },
  { "mixed", BROKE .. "data inside of a message" },
  { "mixed-data", BROKE .. "a message inside of data", slow = true },
  { "long-message", BROKE .. "a message is too long" },
}) do
  test("it ends the VM: " .. case[1], { slow = case.slow }, function(t)
    local vm = ill("ill"):boot()
    -- What else is in flight is told the same.
    local other
    fails(t, function()
      provium.all(
        function() other = select(2, pcall(vm.read_file, vm, "hostile:never")) end,
        function() vm:mkdir("hostile:" .. case[1]) end)
    end, "hostile.test.lua:", "VM ill: " .. case[2], case[3] or "")
    t:assert_eq(vm:state(), "dead")
    t:assert_contains(tostring(other or case[2]), case[2])
    fails(t, function() vm:stat("/") end, case[2])
    others_are_well(t)
    -- The machine can be had anew.
    vm:close()
  end)
end

test("it ends in the middle of a frame", function(t)
  local vm = ill("ill"):boot()
  local lost = "VM ill lost its agent: the agent in the guest ended"
  local other
  fails(t, function()
    provium.all(
      function() other = select(2, pcall(vm.read_file, vm, "hostile:never")) end,
      function() vm:mkdir("hostile:half-then-end") end)
  end, "hostile.test.lua:", lost)
  t:assert_contains(tostring(other or lost), lost)
  fails(t, function() vm:stat("/") end, lost)
  others_are_well(t)
  -- The machine lives: it can be reset.
  t:assert_eq(vm:state(), "booted")
  vm:reset()
  t:assert_eq(vm:state(), "booted")
end)

test("it ends the VM: data without credit", function(t)
  local vm = ill("ill"):boot()
  fails(t, function()
    -- Nobody reads it: what is sent beyond the window has no credit.
    local stream = vm:run_async("hostile:too-much"):stdout_stream()
    vm:run("hostile:never")
    stream:close()
  end, "VM ill: " .. BROKE .. "more data than it has credit for")
  t:assert_eq(vm:state(), "dead")
  others_are_well(t)
end)

test("it ends the VM: messages in pieces, on many channels", function(t)
  local vm = ill("ill"):boot()
  local tasks = {}
  for i = 1, 6 do
    tasks[i] = function() vm:mkdir("hostile:half-messages") end
  end
  fails(t, function() provium.all(unpack(tasks)) end,
    "VM ill: " .. BROKE .. "too many half-sent messages")
  others_are_well(t)
end)

-- --- what never becomes a session -------------------------------------------

for _, name in ipairs({ "mute", "noise-first", "hellos" }) do
  test("its boot fails: " .. name, function(t)
    local vm = ill("ill", name)
    local start = now()
    fails(t, function() vm:boot({ agent_timeout = 6 }) end,
      "VM ill: the guest did not answer within 6 s")
    t:assert(now() - start < 6 + GRACE, now() - start)
    t:assert_eq(vm:state(), "dead")
    others_are_well(t)
  end)
end

-- --- what costs the call ----------------------------------------------------

test("an answer that is none fails its call alone", function(t)
  local vm = patient
  for _, case in ipairs({
    { "wrong-type", "MKDIR was answered by EXITED" },
    { "a-request", "MKDIR was answered by UNLINK" },
    { "lies", "MKDIR was answered by garbage" },
    { "one-byte", "MKDIR was answered by garbage" },
    { "only-fin", "MKDIR was not answered" },
    { "twice", "MKDIR was answered twice" },
    { "data-first", "MKDIR got data where none belongs" },
    { "resets", "it dropped a request" },
  }) do
    fails(t, function() vm:mkdir("hostile:" .. case[1]) end,
      "hostile.test.lua:", "vm:mkdir: " .. BROKE .. case[2])
    t:assert_eq(vm:state(), "booted")
  end
  others_are_well(t)
end)

test("what comes when a channel is over is dropped", function(t)
  local vm = patient
  for _ = 1, 100 do
    vm:mkdir("hostile:again")
  end
  vm:mkdir("hostile:on")
end)

test("crossed answers are refused on both sides", function(t)
  local vm = patient
  local a, b
  provium.all(
    function() a = select(2, pcall(vm.stat, vm, "hostile:crossed")) end,
    function() b = select(2, pcall(vm.mkdir, vm, "hostile:crossed")) end)
  t:assert_contains(a, BROKE .. "STAT was answered by DONE")
  t:assert_contains(b, BROKE .. "MKDIR was answered by FILE_STATUS")
end)

test("an answer that never comes costs the call's deadline, no more", function(t)
  local vm = patient
  for _, name in ipairs({ "never", "elsewhere", "late" }) do
    given_up_after(t, 1, function() vm:mkdir("hostile:" .. name) end)
    given_up_after(t, 1, function() vm:run("hostile:" .. name) end)
    t:assert(peak_mib() < WORKER_MIB, peak_mib())
    vm:mkdir("hostile:on")
  end
  local start = now()
  t:assert(vm:run("hostile:never", { timeout = 1 }).timed_out)
  t:assert(now() - start < 1 + 2 * GRACE, now() - start)
  t:assert_eq(vm:state(), "booted")
end)

test("requests without an answer are limited", function(t)
  local vm = patient
  vm:mkdir("hostile:on")
  local results = vm:batch(function(b)
    for _ = 1, 900 do b:mkdir("hostile:on") end
  end)
  t:assert_eq(#results, 900)
end)

test("frames for nobody hold no call beyond its deadline", function(t)
  local vm = ill("ill"):boot()
  given_up_after(t, 2, function() vm:mkdir("hostile:flood") end)
  others_are_well(t)
  t:assert(peak_mib() < WORKER_MIB, peak_mib())
end)

test("a frame that stops in the middle holds no call beyond it", function(t)
  local vm = ill("ill"):boot()
  given_up_after(t, 1, function() vm:mkdir("hostile:half") end)
  given_up_after(t, 1, function() vm:stat("/") end)
  others_are_well(t)
end)

-- --- data without end -------------------------------------------------------

test("output without end that nobody reads stops at its window", function(t)
  local vm = ill("ill"):boot()
  local p = vm:run_async("hostile:endless")
  local s = p:stdout_stream()
  well:run("sleep 1")
  t:assert(peak_mib() < WORKER_MIB, peak_mib())
  t:assert(#s:next(5) > 0)
  others_are_well(t)
end)

-- --- numbers and names ------------------------------------------------------

test("numbers beyond all bounds are shown as they are, or refused", function(t)
  local vm = patient
  t:assert_eq(vm:stat("hostile:odd-numbers").size, 2ULL ^ 0 * -1ULL)
  local r = vm:run("hostile:odd-numbers")
  t:assert(not r:ok())
  fails(t, function() vm:dmesg() end, "errno -2147483648")
  fails(t, function() vm:clock():get() end, "errno -2147483648")
  fails(t, function() vm:stat("hostile:odd-error") end, "unknown error")
  -- As announced, or not at all: a file is as long as what came.
  t:assert_eq(#vm:read_file("hostile:odd-size"), 10)
  local path = t:tmpdir() .. "/pulled"
  pcall(vm.pull_file, vm, "hostile:odd-size", path)
  local f = io.open(path)
  t:assert(not f or f:seek("end") == 10)
  others_are_well(t)
end)

test("a name that is none is no entry of a directory", function(t)
  local vm = patient
  fails(t, function() vm:listdir("hostile:odd-names") end,
    "vm:listdir: " .. BROKE .. "LISTDIR")
  others_are_well(t)
end)

test("the agent's words are escaped and cut", function(t)
  local vm = patient
  local said = fails(t, function() vm:stat("hostile:escapes") end,
    [[\x1b]0;owned\x07\x1b[2J]], [[\r\n::error::owned\n]])
  t:assert(not said:find("[%z\1-\9\11-\31\127-\255]"), said)
  said = fails(t, function() vm:stat("hostile:long-error") end)
  t:assert(#said < 8192, #said)
end)
