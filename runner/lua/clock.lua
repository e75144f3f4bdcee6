-- vm:clock(): the guest's CLOCK_REALTIME. core is what C provides:
--   check(vm)            raises unless it is open
--   fail(method, text)   raises "file:line: method: text"
--   ns(method, name, value)            nanoseconds, from an integer
--   duration_ns(method, name, value)   the same, from a duration
--   signed_ns(method, name, value)     which may be negative
--   syscall(method, vm, is_async, nr, options)   of the guest, for that method
--   sets_clock(vm, options)     of vm:resume(): whether it is to be set
--   host_ns()                   the host's
--   resume(vm)                  lets its CPUs go on
local methods, core, limits = ...
local ffi = require("ffi")

local CLOCK_REALTIME, CLOCK_MONOTONIC = 0, 1
local SYS = { clock_settime = 227, clock_gettime = 228, clock_nanosleep = 230,
  clock_adjtime = 305 }
local NS = 1000000000LL

-- struct timex of x86-64: modes at 0, time at 72; ADJ_SETOFFSET, ADJ_NANO.
local TIMEX_SIZE = 208
local TIMEX_TIME = 72
local ADJ = 0x0100 + 0x2000

local Clock = {}

local function self_check(self, name)
  if getmetatable(self) ~= Clock then
    core.fail("clock:" .. name, ("call it as clock:%s(...)"):format(name))
  end
end

local function check(method, r)
  if r.errno ~= 0 then
    core.fail(method, ("the guest refused: errno %d"):format(r.errno))
  end
  return r
end

-- Seconds and nanoseconds, 0 <= nanoseconds < 10^9, of a signed time.
local function split(ns)
  ns = ffi.cast("int64_t", ns)
  local s = ns / NS
  local rest = ns - s * NS
  if rest < 0 then
    s, rest = s - 1, rest + NS
  end
  return s, rest
end

local function timespec(ns)
  return ffi.string(ffi.new("int64_t[2]", split(ns)), 16)
end

local function now(self, method)
  local r = check(method, core.syscall(method, self.vm, false,
    SYS.clock_gettime, {
      args = { CLOCK_REALTIME }, bufs = { ("\0"):rep(16) }, ptrs = { 1 },
    }))
  local t = ffi.new("int64_t[2]")
  ffi.copy(t, r.out_bufs[1], 16)
  return t[0] * NS + t[1]
end

local function set(self, method, ns)
  check(method, core.syscall(method, self.vm, false, SYS.clock_settime, {
    args = { CLOCK_REALTIME }, bufs = { timespec(ns) }, ptrs = { 1 },
  }))
end

function Clock:get()
  self_check(self, "get")
  return tonumber(now(self, "clock:get")) / 1e9
end

function Clock:get_ns()
  self_check(self, "get_ns")
  return now(self, "clock:get_ns")
end

function Clock:set(seconds)
  self_check(self, "set")
  set(self, "clock:set", core.duration_ns("clock:set", "seconds", seconds))
end

function Clock:set_ns(ns)
  self_check(self, "set_ns")
  set(self, "clock:set_ns", core.ns("clock:set_ns", "ns", ns))
end

-- Of the guest's time, and what else it is asked goes on.
function Clock:sleep(d)
  self_check(self, "sleep")
  local ns = core.duration_ns("clock:sleep", "duration", d)
  check("clock:sleep", core.syscall("clock:sleep", self.vm, true,
    SYS.clock_nanosleep, {
      args = { CLOCK_MONOTONIC, 0 }, bufs = { timespec(ns) }, ptrs = { 2 },
    }))
end

-- At one instant: no tick is lost between reading and setting.
function Clock:advance(d)
  self_check(self, "advance")
  local ns = core.signed_ns("clock:advance", "duration", d)
  local timex = ffi.new("uint8_t[?]", TIMEX_SIZE)
  ffi.cast("uint32_t *", timex)[0] = ADJ
  local t = ffi.cast("int64_t *", timex + TIMEX_TIME)
  t[0], t[1] = split(ns)
  local r = core.syscall("clock:advance", self.vm, false, SYS.clock_adjtime, {
    args = { CLOCK_REALTIME }, bufs = { ffi.string(timex, TIMEX_SIZE) },
    ptrs = { 1 },
  })
  if r.ret < 0 then
    check("clock:advance", r)
  end
end

-- The guest's clock stood still with its CPUs.
function methods.resume(vm, options)
  local sets_clock = core.sets_clock(vm, options)
  core.resume(vm)
  if sets_clock then
    set({ vm = vm }, "vm:resume", core.host_ns())
  end
end

limits.limit_all(Clock, "clock:")
Clock.__index = Clock

function methods.clock(vm)
  core.check(vm)
  return setmetatable({ vm = vm }, Clock)
end
