-- Guests that send as fast as they can cost their network what it can carry,
-- and nothing else: calls keep their deadlines, memory its bounds.
provium.timeout = 300

local ffi = require("ffi")
local guest_program = require("guest_program")

ffi.cdef([[
struct provium_test_flood_time { long s, ns; };
int clock_gettime(int id, struct provium_test_flood_time *t);
]])

local MIB = 1024 * 1024
local SECONDS = "600" -- longer than any test: each kills its floods
-- Seconds, for a machine that emulates four guests on whatever it has: by how
-- much a deadline of the host is passed, and what a guest takes to answer.
local LATE, SLOW = 2, 10
-- Frames of a flood that a capture is to hold.
local FLOOD = 20000

local lan, aside = provium:bridge("lan"), provium:bridge("aside")
local a, b, c = provium:vm("a"), provium:vm("b"), provium:vm("c")
local quiet = provium:vm("quiet")
lan:attach({ a, b, c, quiet })
aside:attach(c)
provium:boot()
guest_program({ a, b }, "../bench/traffic.c", "/tmp/traffic")

local function now()
  local t = ffi.new("struct provium_test_flood_time")
  ffi.C.clock_gettime(1, t)
  return tonumber(t.s) + tonumber(t.ns) / 1e9
end

local function resident()
  local f = assert(io.open("/proc/self/status"))
  local kib = f:read("*a"):match("VmRSS:%s+(%d+) kB")
  f:close()
  return tonumber(kib) * 1024
end

local function sent(vm)
  return vm:nic("lan"):counters().tx_packets
end

-- Both send datagrams of 16 bytes to all, and to each other, without end.
local function start_floods()
  local floods = {}
  local broadcast = a:nic("lan"):ip():gsub("%d+$", "255")
  for vm, other in pairs({ [a] = b, [b] = a }) do
    for _, to in ipairs({ broadcast, other:nic("lan"):ip() }) do
      floods[#floods + 1] = vm:run_async("/tmp/traffic", { "blast", to, "9",
        "16", SECONDS })
    end
  end
  for _, vm in ipairs({ a, b }) do
    local before = sent(vm)
    wait_until(function() return sent(vm) > before + 1000 end,
      { timeout = 60, desc = "a flood of " .. vm:name() })
  end
  return floods
end

local function stop(floods)
  for _, p in ipairs(floods) do
    p:kill("kill")
    p:wait(60)
  end
end

-- How late a call is that is given that long and has nothing to wait for.
local function overshoot(stream, seconds)
  local start = now()
  local frame = stream:next(seconds)
  assert(frame == nil, "the stream is not silent")
  return now() - start - seconds
end

local function calls_are_served(t, what)
  local silent = c:run_async("sleep 1000")
  local stream = silent:stdout_stream()
  local worst, slowest = 0, 0
  for _ = 1, 10 do
    worst = math.max(worst, overshoot(stream, 0.2))
    local start = now()
    t:assert_eq(c:run("echo hi", { timeout = 30 }).stdout, "hi\n")
    t:assert_eq(c:stat("/etc").entry_type, "directory")
    slowest = math.max(slowest, now() - start)
  end
  silent:kill()
  t:log(("%s: 0.2 s took %.1f ms more at most, run() and stat() %.0f ms")
    :format(what, worst * 1e3, slowest * 1e3))
  t:assert(worst < LATE, worst)
  t:assert(slowest < SLOW, slowest)
end

test("calls keep their deadlines in a flood", function(t)
  calls_are_served(t, "no flood")
  local floods = start_floods()
  local before, start = sent(a) + sent(b), now()
  calls_are_served(t, "flood")
  t:log(("%.0f frames/s"):format((sent(a) + sent(b) - before)
    / (now() - start)))
  stop(floods)
end)

test("and where it is captured; no packet is lost", function(t)
  local floods = start_floods()
  local memory = resident()
  local before = sent(quiet)
  local all, kept = lan:capture(), t:tmpdir() .. "/all.pcap"
  all:write_to(kept)
  local own = lan:capture({ filter = "icmp and src "
    .. quiet:nic("lan"):ip(), snaplen = 64 })
  calls_are_served(t, "captured flood")
  quiet:run("ping -c 3 -i 0.2 -w 60 " .. c:nic("lan"):ip(), { check = true })
  local counted = sent(quiet) - before
  stop(floods)
  local n = 0
  for _ in own:packets(0.2) do
    n = n + 1
  end
  t:assert(n >= 3 and n <= counted, n)
  t:log(("%.1f MiB captured; memory grown by %.1f MiB"):format(
    tonumber(all:bytes()) / MIB, (resident() - memory) / MIB))
  t:assert(resident() - memory < 24 * MIB, resident() - memory)
  all:close()
end)

-- The frames that have left the guest's NIC. The sender's own count is of no
-- use: its queue drops what comes too fast, and tells nobody.
local function left_nic(vm)
  return tonumber(vm:read_file("/sys/class/net/eth0/statistics/tx_packets"))
end

-- A capture of everything that the guest sends, and left_nic() at its start.
local function capture_sent(vm)
  local filter = "ether src " .. vm:nic("lan"):mac()
  while true do
    local before = left_nic(vm)
    local cap = lan:capture({ filter = filter, snaplen = 64 })
    -- Only one of them would have a frame that left in between.
    if left_nic(vm) == before then
      return cap, before
    end
    cap:close()
  end
end

test("a capture of a flood has all of it", function(t)
  local cap, before = capture_sent(a)
  local captured, left = 0, 0
  repeat
    a:run("/tmp/traffic", { args = { "blast", c:nic("lan"):ip(), "11", "16",
      "2" }, check = true })
    -- The NIC still sends what is in the queue.
    local ok, why = pcall(wait_until, function()
      for _ in cap:packets(0) do
        captured = captured + 1
      end
      left = left_nic(a) - before
      return captured == left
    end, { timeout = 60 })
    t:assert(ok, ("%d frames captured of %d that left the NIC: %s"):format(
      captured, left, tostring(why)))
  until captured >= FLOOD
  t:log(("%d frames"):format(captured))
end)

test("nor does delay hold more than its bounds", function(t)
  lan:add_latency(2000)
  local memory = resident()
  local floods = start_floods()
  calls_are_served(t, "delayed flood")
  t:log(("memory grown by %.1f MiB"):format((resident() - memory) / MIB))
  t:assert(resident() - memory < 160 * MIB, resident() - memory)
  stop(floods)
  lan:reset()
end)

test("another bridge is as it was", function(t)
  local floods = start_floods()
  local gateway = aside:nic(c):ip():gsub("%d+$", "1")
  c:run("ping -c 3 -i 0.2 -w 60 " .. gateway, { check = true })
  stop(floods)
end)
