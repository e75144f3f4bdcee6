-- Labs: names, look-ups, membership, scopes.
local file_vm = provium:vm("filed")
local file_bridge = provium:bridge("lan")
local file_lab = provium:lab("inner")
local in_lab = file_lab:vm("deep")

local function names(list)
  local out = {}
  for i, x in ipairs(list) do
    out[i] = x:name()
  end
  return out
end

local function fails(t, text, fn)
  t:assert_match(t:assert_raises(fn), "^[^\n]*lab.test.lua:%d+: lab:")
  t:assert_contains(t:assert_raises(fn), text)
end

test("lab.<name> is the VM, else the bridge, else the lab", function(t)
  t:assert(provium.filed == file_vm)
  t:assert(provium.lan == file_bridge)
  t:assert(provium.inner == file_lab)
  t:assert_eq(provium.nobody, nil)
  t:assert_eq(provium[1], nil)
  local l = provium:lab("order")
  local sub = l:lab("x")
  t:assert(l.x == sub)
  local bridge = l:bridge("x")
  t:assert(l.x == bridge)
  local vm = l:vm("x")
  t:assert(l.x == vm)
  vm:close()
  t:assert(l.x == bridge)
  bridge:close()
  t:assert(l.x == sub)
  sub:close()
  t:assert_eq(l.x, nil)
end)

test("a lab sees its own alone", function(t)
  t:assert(file_lab.deep == in_lab)
  t:assert_eq(provium.deep, nil)
  t:assert_eq(file_lab.filed, nil)
  t:assert_eq(file_lab.lan, nil)
  -- The same name in another lab is another VM.
  t:assert(file_lab:vm("filed") ~= file_vm)
  t:assert_neq(tostring(file_lab.filed), tostring(file_vm))
end)

test("names are listed, sorted", function(t)
  local l = provium:lab("names")
  for _, name in ipairs({ "b", "c", "a" }) do
    l:vm(name)
    l:bridge("net-" .. name)
    l:lab("lab." .. name)
  end
  t:assert_eq(l:vm_names(), { "a", "b", "c" })
  t:assert_eq(l:bridge_names(), { "net-a", "net-b", "net-c" })
  t:assert_eq(l:sub_lab_names(), { "lab.a", "lab.b", "lab.c" })
  t:assert_eq(names(l:members()), { "a", "b", "c", "net-a", "net-b", "net-c",
    "lab.a", "lab.b", "lab.c" })
  t:assert(l:members()[1] == l.a)
  t:assert_eq(l:name(), "names")
  t:assert_eq(provium:name(), "")
end)

test("labs without a name are numbered", function(t)
  local l = provium:lab("numbered")
  t:assert_eq({ l:lab():name(), l:lab():name() }, { "__lab_0", "__lab_1" })
  t:assert_eq(l:sub_lab_names(), { "__lab_0", "__lab_1" })
  t:assert(l.__lab_0 ~= l.__lab_1)
end)

test("reserved names are refused", function(t)
  local l = provium:lab("reserved")
  for _, name in ipairs({ "pack", "unpack", "vm_fixture", "lab_fixture", "vm",
    "bridge", "lab", "boot", "close", "include", "members", "name" }) do
    for _, make in ipairs({ "vm", "bridge", "lab" }) do
      fails(t, ("lab:%s: '%s' is a reserved name"):format(make, name),
        function() l[make](l, name) end)
    end
  end
  fails(t, "bad name 'a b'", function() l:vm("a b") end)
  fails(t, "bad name 'a/b'", function() l:bridge("a/b") end)
  fails(t, "name is empty", function() l:lab("") end)
  fails(t, "bad name", function() l:vm(("x"):rep(65)) end)
  t:assert(l:vm(("x"):rep(64)))
end)

test("a name that is taken is refused, and says by whom", function(t)
  local line = debug.getinfo(1, "l").currentline + 1
  provium:vm("mine")
  fails(t, "vm 'mine' is already declared at tests/e2e/lab.test.lua:" .. line,
    function() provium:vm("mine", {}) end)
  fails(t, "vm 'filed' is already declared in the file's scope at "
    .. "tests/e2e/lab.test.lua:2", function()
      provium:vm("filed", "default")
    end)
  fails(t, "vm 'filed' is already declared in the file's scope", function()
    provium:vm("filed", nil, {})
  end)
  -- Without options it is a look-up.
  t:assert(provium:vm("filed") == file_vm)
  t:assert(provium:bridge("lan") == file_bridge)
  t:assert(provium:lab("inner") == file_lab)
end)

test("things of another lab are included", function(t)
  local l = provium:lab("joins")
  t:assert(l:include(file_vm) == l)
  l:include({ in_lab, file_bridge, file_lab })
  t:assert_eq(names(l:members()), { "deep", "filed", "lan", "inner" })
  t:assert(l.filed == file_vm)
  t:assert(l:vm("deep") == in_lab)
  t:assert(l:bridge("lan") == file_bridge)
  t:assert(l.inner == file_lab)
  fails(t, "lab:vm: vm 'filed' is already declared", function()
    l:vm("filed", {})
  end)
  -- Where they were they still are.
  t:assert(provium.filed == file_vm)
  t:assert(file_lab.deep == in_lab)
  l:include({})
end)

test("what cannot be included is refused, and nothing else is", function(t)
  local l = provium:lab("strict")
  local twin = provium:lab("twins"):vm("filed")
  fails(t, "lab:include: members[2] must be a VM, a bridge or a lab, got a "
    .. "string", function() l:include({ file_vm, "filed" }) end)
  fails(t, "member must be a VM, a bridge or a lab, got nil", function()
    l:include()
  end)
  fails(t, "members[1] and members[2] are both vm 'filed'", function()
    l:include({ file_vm, twin })
  end)
  fails(t, "members[1] and members[3] are both bridge 'lan'", function()
    l:include({ file_bridge, file_vm, file_bridge })
  end)
  t:assert_eq(l:members(), {})
  l:include(file_vm)
  fails(t, "vm 'filed' is in the lab already", function()
    l:include({ in_lab, file_vm })
  end)
  fails(t, "the lab has another vm 'filed', made at tests/e2e/lab.test.lua:2",
    function() l:include(twin) end)
  t:assert_eq(names(l:members()), { "filed" })
  fails(t, "a lab cannot be in itself", function() l:include(l) end)
  fails(t, "provium is in no lab", function() l:include(provium) end)
  local gone = provium:vm("gone")
  gone:close()
  fails(t, "member is a vm that is closed", function() l:include(gone) end)
  l:close()
  fails(t, "the lab is closed", function() l:include(in_lab) end)
end)

test("a membership ends, the member does not", function(t)
  local l = provium:lab("parts")
  local vm = l:vm("a")
  l:include({ file_vm, file_bridge })
  t:assert(l:remove("filed") == l)
  l:remove(file_bridge)
  l:remove(vm)
  t:assert_eq(l:members(), {})
  t:assert_eq(l.a, nil)
  t:assert_eq({ vm:state(), file_vm:state() }, { "created", "created" })
  t:assert(provium.filed == file_vm)
  -- The name is free again.
  t:assert(l:vm("a", {}) ~= vm)
  fails(t, "vm 'filed' is not in parts", function() l:remove(file_vm) end)
  fails(t, "nothing in the lab is named 'filed'", function()
    l:remove("filed")
  end)
  fails(t, "member (or its name) must be a VM, a bridge or a lab, got a number",
    function() l:remove(7) end)
end)

test("what a test included in the file's lab", function(t)
  file_lab:include(provium:vm("guest"))
  file_lab:include(file_vm)
  t:assert_eq(file_lab:vm_names(), { "deep", "filed", "guest" })
end)

test("has left it with the test", function(t)
  t:assert_eq(file_lab:vm_names(), { "deep" })
  t:assert_eq(provium:vm_names(), { "filed" })
  t:assert_eq(provium:sub_lab_names(), { "inner" })
  t:assert_eq(file_vm:state(), "created")
end)

test("a lab's calls are for all of its VMs", function(t)
  local l = provium:lab("fleet")
  l:vm("one")
  l:lab("below"):vm("not_direct")
  l:include(provium:vm("two"))
  t:assert(l:boot() == l)
  t:assert_eq(provium.two:run("echo 2").stdout, "2\n")
  l:pause()
  t:assert_eq({ l.one:state(), provium.two:state() }, { "paused", "paused" })
  l:pause()
  l:resume()
  l:resume()
  t:assert_eq({ l.one:state(), provium.two:state() }, { "booted", "booted" })
  l:boot() -- all are
  l:remove("two")
  l:shutdown()
  t:assert_eq({ l.one:state(), provium.two:state() }, { "shutdown", "booted" })
  t:assert_eq(l.below.not_direct:state(), "created")
end)

test("a name of an inner lab of the file's is no less taken", function(t)
  fails(t, "vm 'deep' is already declared in the file's scope at "
    .. "tests/e2e/lab.test.lua:5", function()
      file_lab:vm("deep", {})
    end)
  t:assert(file_lab:vm("deep") == in_lab)
  -- It is of that lab alone, and what is not a VM has names of its own.
  provium:lab("other"):vm("deep", {})
  t:assert(provium:bridge("filed") ~= file_bridge)
  t:assert(provium.filed == file_vm)
end)

test("what a test declares in a lab of the file's", function(t)
  file_lab:vm("passing", {})
  file_lab:bridge("net")
  file_lab:lab("below"):vm("deeper")
  t:assert_eq(file_lab:vm_names(), { "deep", "passing" })
end)

test("is gone with the test, and may be declared again", function(t)
  t:assert_eq({ file_lab.passing, file_lab.net, file_lab.below }, {})
  t:assert_eq(file_lab:members(), { in_lab })
  file_lab:vm("passing", {})
end)

-- How many of a lab's VMs have a QEMU, and how many have booted.
local function progress(lab)
  local starting, booted = 0, 0
  for _, name in ipairs(lab:vm_names()) do
    local vm = lab:vm(name)
    starting = starting + (vm:pid() and 1 or 0)
    booted = booted + (vm:state() == "booted" and 1 or 0)
  end
  return starting, booted
end

test("all of a lab boot at once", function(t)
  local l = provium:lab("three")
  l:bridge("net"):attach({ l:vm("a"), l:vm("b"), l:vm("c") })
  t:assert_eq({ progress(l) }, { 0, 0 })
  provium.all(function()
    l:boot()
  end, function()
    wait_until(function()
      local starting, booted = progress(l)
      t:assert_eq(booted, 0, "one has booted before all were started")
      return starting == 3
    end, { timeout = 60, interval = 0.01, desc = "a QEMU for each" })
  end)
  t:assert_eq({ progress(l) }, { 3, 3 })
  l.a:run("ping -c 1 -w 30 c.net", { check = true })
  l:shutdown()
  t:assert_eq({ l.a:state(), l.b:state(), l.c:state() },
    { "shutdown", "shutdown", "shutdown" })
end)

test("one that cannot boot fails the lab's boot, by name", function(t)
  local l = provium:lab("broken")
  l:vm("good")
  l:vm("bad", { qemu_args = { "-no-such-option" } })
  local e = t:assert_raises(function() l:boot() end)
  t:assert_contains(e, "VM bad: QEMU ")
  t:assert_contains(e, "-no-such-option")
  -- The other boot was given up with it, and says so.
  t:assert_eq({ l.bad:state(), l.good:state() }, { "dead", "dead" })
  t:assert_contains(t:assert_raises(function() l.good:boot() end),
    "VM good: its boot was given up")
end)

test("a closed lab says so", function(t)
  local l = provium:lab("brief")
  l:close()
  l:close()
  for _, name in ipairs({ "boot", "shutdown", "pause", "resume", "members",
    "vm_names", "bridge_names", "sub_lab_names", "name" }) do
    fails(t, "lab:" .. name .. ": the lab is closed", function()
      l[name](l)
    end)
  end
  fails(t, "the lab is closed", function() l:barrier("b", 1) end)
  t:assert(provium:lab("brief") ~= l)
end)
