-- lab:snapshot and lab:restore, and what provium.reset_between_tests does: VMs,
-- and the bridges between them, as they were. A lab's snapshot is a folder with
-- lab.json, and for each VM that ran a folder vm-NAME.
-- core is what C provides:
--   all(method, fn, ...)             provium.all, by that name
--   check(lab, method)               raises unless it is an open lab
--   folder(method, path)             where a new one goes; whether it is kept
--   check_streams(method, vm)        raises where one is open
--   write(method, folder, text)      lab.json, the last thing
--   read(method, snapshot)           text of lab.json, folder, VMs' Snapshots
--   object(folder, is_kept, parts)   the LabSnapshot
--   discard(folder)                  what was begun
--   acquire(method, vm, ...)         waits for what they need
--   check_snapshot(method, snapshot) raises unless it is whole
--   prepare_restore(vm, snapshot)
--   restore_finish()                 the function that does the rest of that
--   off(vm)                          its guest is gone, at once
--   bridge_save(bridge)              as JSON
--   bridge_make(lab, name, saved)    the bridge, made where there is none
--   bridge_load(bridge, saved)       impairments, links, uplink
--   attach(bridge, vm, slot) detach(bridge, vm)
--   file_scope()                     lists of its VMs and of its bridges
--   enter_scope(lab) leave_scope(before)   where what is made goes
--   set_baseline(take, restore)
local methods, core = ...
local decode, encode = json.decode, json.encode
local finish_restore = core.restore_finish()

local function running(state)
  return state == "booted" or state == "paused"
end

local function each(method, list, fn)
  local tasks = {}
  for i, x in ipairs(list) do
    tasks[i] = function() fn(x) end
  end
  core.all(method, unpack(tasks))
end

-- A snapshot of each VM of the list, at path(vm); by VM. They stand still
-- together, so that no packet is in one of two snapshots only.
local function take(method, vms, path)
  local parts, booted = {}, {}
  for _, vm in ipairs(vms) do
    core.check_streams(method, vm)
    if vm:state() == "booted" then
      booted[#booted + 1] = vm
    end
  end
  local ok, err = pcall(function()
    each(method, booted, function(vm) vm:pause() end)
    each(method, vms, function(vm) parts[vm] = vm:snapshot(path(vm)) end)
  end)
  local resumed, why = pcall(each, method, booted, function(vm)
    if vm:state() == "paused" then vm:resume() end
  end)
  if not ok then error(err, 0) end
  if not resumed then error(why, 0) end
  return parts
end

-- The bridge has just the ports that were saved, each at its place; find(name)
-- is the VM of that name.
local function plug(bridge, saved, find)
  for _, name in ipairs(bridge:members()) do
    local vm = find(name)
    if vm then core.detach(bridge, vm) end
  end
  for _, port in ipairs(saved.ports or {}) do
    local vm = find(port.guest)
    if vm then core.attach(bridge, vm, port.slot) end
  end
end

-- Of VMs that are off, and whose bridges are as they were.
local function bring_back(method, parts)
  local vms = {}
  for vm, part in pairs(parts) do
    core.prepare_restore(vm, part)
    vms[#vms + 1] = vm
  end
  core.acquire(method, unpack(vms))
  each(method, vms, finish_restore)
end

-- --- labs ---

local function take_lab(lab, folder)
  local states, vms, parts = {}, {}, {}
  for _, name in ipairs(lab:vm_names()) do
    local vm = lab:vm(name)
    states[name] = { state = vm:state(), profile = vm:profile() }
    if running(vm:state()) then
      vms[#vms + 1] = vm
    end
  end
  local taken = take("lab:snapshot", vms, function(vm)
    return folder .. "/vm-" .. vm:name()
  end)
  for vm, part in pairs(taken) do
    parts[vm:name()] = part
  end
  return parts, states
end

function methods.snapshot(lab, path)
  core.check(lab, "lab:snapshot")
  local folder, is_kept = core.folder("lab:snapshot", path)
  local ok, parts, states = pcall(take_lab, lab, folder)
  if not ok then
    core.discard(folder)
    error(parts, 0)
  end
  local bridges = {}
  for _, name in ipairs(lab:bridge_names()) do
    bridges[#bridges + 1] = decode(core.bridge_save(lab:bridge(name)))
  end
  table.sort(bridges, function(a, b) return a.number < b.number end)
  core.write("lab:snapshot", folder,
    encode({ version = 1, vms = states, bridges = bridges }))
  return core.object(folder, is_kept, parts)
end

local function restore_bridges(lab, list)
  local function find(name)
    return lab[name]
  end
  for _, saved in ipairs(list) do
    plug(core.bridge_make(lab, saved.name, encode(saved)), saved, find)
  end
  for _, saved in ipairs(list) do
    local bridge = lab:bridge(saved.name)
    core.bridge_load(bridge, encode(saved))
    for _, other in ipairs(saved.routes or {}) do
      if lab[other] then bridge:route(lab:bridge(other)) end
    end
  end
end

-- The snapshot of each VM that ran, by name. Before any guest is given up for
-- them, all are looked at.
local function parts_of(saved, folder, known)
  local parts = {}
  for name, was in pairs(saved.vms or {}) do
    if running(was.state) then
      parts[name] = known[name] or folder .. "/vm-" .. name
      core.check_snapshot("lab:restore", parts[name])
    end
  end
  return parts
end

-- VMs and bridges, without a guest; parts by VM.
local function restore_members(lab, saved, parts)
  local of_vm = {}
  for name, was in pairs(saved.vms or {}) do
    local vm = lab[name] or lab:vm(name, was.profile)
    core.off(vm)
    of_vm[vm] = parts[name]
  end
  restore_bridges(lab, saved.bridges or {})
  return of_vm
end

function methods.restore(lab, snapshot)
  core.check(lab, "lab:restore")
  local text, folder, known = core.read("lab:restore", snapshot)
  local saved = decode(text)
  local parts = parts_of(saved, folder, known)
  -- What is made for it lives as long as the lab.
  local before = core.enter_scope(lab)
  local ok, of_vm = pcall(restore_members, lab, saved, parts)
  core.leave_scope(before)
  if not ok then error(of_vm, 0) end
  bring_back("lab:restore", of_vm)
  return lab
end

-- --- the file's scope ---

local function take_baseline()
  local vms, bridges = core.file_scope()
  local ran, saved = {}, {}
  for _, vm in ipairs(vms) do
    if running(vm:state()) then
      ran[#ran + 1] = vm
    end
  end
  for i, bridge in ipairs(bridges) do
    saved[i] = { bridge = bridge, text = core.bridge_save(bridge) }
  end
  local parts = take("reset_between_tests", ran, function() end)
  return { vms = vms, parts = parts, bridges = saved }
end

local function restore_baseline(base)
  local by_name = {}
  for _, vm in ipairs(base.vms) do
    core.off(vm)
    by_name[vm:name()] = vm
  end
  for _, x in ipairs(base.bridges) do
    plug(x.bridge, decode(x.text), function(name) return by_name[name] end)
    core.bridge_load(x.bridge, x.text)
  end
  bring_back("lab:restore", base.parts)
end

core.set_baseline(take_baseline, restore_baseline)
