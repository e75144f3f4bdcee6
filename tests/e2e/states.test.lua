-- Every call of a VM in every state: where it cannot be, the error has the
-- VM's name, its state, and the call that would help. The calls come from
-- runner/lua/stubs.lua, so that a new one is tried without a word here.
local typed = require("typed")

local here = debug.getinfo(1, "S").source:sub(2):match("^(.*)/") or "."
local stubs = typed.read(here .. "/../../runner/lua/stubs.lua")

-- Good arguments; of the others none.
local ARGS = {
  run = { "true" }, run_async = { "true" }, read_file = { "/x" },
  write_file = { "/tmp/x", "" }, push_file = { "states.test.lua", "/tmp/p" },
  pull_file = { "/etc/passwd", "/dev/null" }, stat = { "/" },
  listdir = { "/" }, mkdir = { "/tmp/d" }, unlink = { "/x" },
  rename = { "/x", "/y" }, open_file = { "/etc/passwd", { read = true } },
  tail_file = { "/etc/passwd" }, fd_stream = { 0 }, syscall = { 39 },
  syscall_async = { 39 }, ioctl = { 0, 0 }, read_mem = { 0, 1 },
  batch = { function(b) b:stat("/") end }, forward = { 80 },
  nic = { "no bridge" },
}

-- What asks of no guest, and answers in every state.
local ALWAYS = {
  name = true, profile = true, state = true, cid = true, pid = true,
  clock = true, close = true,
  is_quiescent = true, open_file_count = true, open_stream_count = true,
}

-- Not of the guest's state: of its networks, disks or snapshots.
local ELSEWHERE = {
  nic = true, disk = true, attach_disk = true, snapshot = true,
  restore = true,
}

-- These change the state, or are there to: {state = may be called}.
local MAY = {
  boot = { created = true, shutdown = true },
  shutdown = { paused = true, shutdown = true },
  pause = { paused = true }, resume = { paused = true },
  console = { paused = true, shutdown = true, dead = true },
  console_socket_path = { paused = true, shutdown = true, dead = true },
}

-- A guest that is dead is of no more use; so that is the help.
local HELP = {
  created = "call vm:boot() first", paused = "call vm:resume() first",
  shutdown = "call vm:boot() to start it again", dead = "declare a new one",
}

local CLOCK = {
  get = {}, get_ns = {}, set = { 1e9 }, set_ns = { 1e18 }, sleep = { 0 },
  advance = { 1 },
}

local function refused(t, problems, vm, method, fn, args)
  local state, line = vm:state(), nil
  local ok, err = pcall(t.assert_raises, t, function()
    line = debug.getinfo(1, "l").currentline + 1
    local r = fn(unpack(args))
    return r, r
  end)
  local want = ("states.test.lua:%d: %s: VM '%s' is %s: %s"):format(line or 0,
    method, vm:name(), state, HELP[state])
  if not ok then
    problems[#problems + 1] = method .. " was not refused"
  elseif not tostring(err):find(want, 1, true) then
    problems[#problems + 1] = ("'%s' instead of '%s'"):format(tostring(err),
      want)
  end
end

local function try_all(t, vm)
  local state, problems, tried = vm:state(), {}, 0
  for _, f in ipairs(stubs.classes.VM.functions) do
    local may = MAY[f.name] or {}
    if not ALWAYS[f.name] and not ELSEWHERE[f.name] and not may[state] then
      tried = tried + 1
      refused(t, problems, vm, "vm:" .. f.name, vm[f.name],
        { vm, unpack(ARGS[f.name] or {}) })
    end
  end
  local clock = vm:clock()
  for name, args in pairs(CLOCK) do
    refused(t, problems, vm, "clock:" .. name, clock[name],
      { clock, unpack(args) })
  end
  for name in pairs(ALWAYS) do
    if name ~= "close" and vm[name] then
      vm[name](vm)
    end
  end
  t:assert_eq(vm:state(), state, "what is refused changes nothing")
  t:assert(tried > 25, tried .. " calls were tried")
  t:assert(#problems == 0, table.concat(problems, "\n"))
end

test("created", function(t)
  try_all(t, provium:vm("fresh"))
end)

test("a clock that stood still is set when the CPUs go on", function(t)
  local vm = provium:vm("stood"):boot()
  local clock = vm:clock()
  for _, how in ipairs({ "continue", "now" }) do
    clock:set(1e9)
    vm:pause()
    vm:resume({ clock = how })
    local off = math.abs(clock:get() - os.time())
    t:assert_eq(off < 60, how == "now", how)
  end
  t:assert_match(t:assert_raises(function() vm:resume({ clock = "then" }) end),
    'vm:resume: clock must be "continue" or "now", got "then"')
end)

test("paused", function(t)
  local vm = provium:vm("still"):boot()
  vm:pause()
  try_all(t, vm)
  vm:pause() -- it is already
  vm:resume()
  vm:resume()
  t:assert(vm:run("true"):ok())
end)

test("shutdown", function(t)
  local vm = provium:vm("off"):boot()
  local console = vm:console()
  vm:pause()
  vm:shutdown()
  vm:shutdown()
  try_all(t, vm)
  t:assert(#console:read_log() > 0)
  local problems = {}
  refused(t, problems, vm, "console:write", console.write, { console, "x" })
  t:assert_eq(problems, {})
  -- Its console is over: there is nothing to wait for.
  t:assert_contains(t:assert_raises(function()
    console:expect("what it never printed", 600)
  end), "console EOF")
end)

test("dead", function(t)
  local vm = provium:vm("gone"):boot()
  local console = vm:console()
  t:assert_raises(function()
    provium.all(function() vm:run("sleep 100000") end,
      function() os.execute("kill -9 " .. vm:pid()) end)
  end)
  t:assert_eq(vm:state(), "dead")
  try_all(t, vm)
  t:assert(#console:read_log() > 0)
  local problems = {}
  refused(t, problems, vm, "console:write", console.write, { console, "x" })
  t:assert_eq(problems, {})
  vm:close()
  vm:close()
  t:assert_match(tostring(vm), "^vm %(closed%): 0x")
end)

test("booted", function(t)
  local vm = provium:vm("up"):boot()
  t:assert_match(t:assert_raises(function() vm:boot() end),
    "states.test.lua:%d+: vm:boot: VM 'up' is booted: "
      .. "call vm:shutdown%(%) first")
  vm:resume() -- nothing to do
  t:assert_eq(vm:state(), "booted")
end)

test("closed", function(t)
  local vm = provium:vm("over")
  vm:close()
  for _, f in ipairs(stubs.classes.VM.functions) do
    if f.name ~= "close" then
      t:assert_contains(t:assert_raises(function()
        vm[f.name](vm, unpack(ARGS[f.name] or {}))
      end), ("vm:%s: the VM is closed"):format(f.name))
    end
  end
end)
