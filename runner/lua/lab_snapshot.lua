-- lab:snapshot and lab:restore: a folder with lab.json, which has the bridges
-- and what state VMs were in, and for each VM that ran a folder vm-NAME.
-- core is what C provides:
--   all(fn, ...)                     provium.all
--   check(lab, method)               raises unless it is an open lab
--   folder(method, path)             where a new one goes; whether it is kept
--   check_streams(method, vm)        raises where one is open
--   write(method, folder, text)      lab.json, the last thing
--   read(method, snapshot)           text of lab.json, folder, VMs' Snapshots
--   object(folder, is_kept, parts)   the LabSnapshot
--   discard(folder)                  what was begun
--   acquire(method, vm, ...)         waits for what they need
--   prepare_restore(vm, snapshot)
--   off(vm)                          its guest is gone, at once
--   bridge_save(bridge)              as JSON
--   bridge_make(lab, name, saved)    the bridge, made where there is none
--   bridge_load(bridge, saved)       impairments, links, uplink
--   attach(bridge, vm, slot) detach(bridge, vm)
local methods, core = ...
local decode, encode = json.decode, json.encode

local function running(state)
  return state == "booted" or state == "paused"
end

-- The VMs that run stand still together, so that no packet is in one of two
-- snapshots only.
local function take(lab, folder)
  local parts, states, paused, work = {}, {}, {}, {}
  local vms = {}
  for _, name in ipairs(lab:vm_names()) do
    local vm = lab:vm(name)
    states[name] = { state = vm:state(), profile = vm:profile() }
    if running(vm:state()) then
      core.check_streams("lab:snapshot", vm)
      vms[#vms + 1] = vm
    end
  end
  for _, vm in ipairs(vms) do
    if vm:state() == "booted" then
      paused[#paused + 1] = vm
    end
    work[#work + 1] = function()
      parts[vm:name()] = vm:snapshot(folder .. "/vm-" .. vm:name())
    end
  end
  local function each(list, fn)
    local tasks = {}
    for i, vm in ipairs(list) do
      tasks[i] = function() fn(vm) end
    end
    core.all(unpack(tasks))
  end
  local ok, err = pcall(function()
    each(paused, function(vm) vm:pause() end)
    core.all(unpack(work))
  end)
  local resumed, why = pcall(each, paused, function(vm)
    if vm:state() == "paused" then vm:resume() end
  end)
  if not ok then error(err, 0) end
  if not resumed then error(why, 0) end
  return parts, states
end

function methods.snapshot(lab, path)
  core.check(lab, "lab:snapshot")
  local folder, is_kept = core.folder("lab:snapshot", path)
  local ok, parts, states = pcall(take, lab, folder)
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

-- The bridge has just the ports that were saved, each at its place.
local function plug(lab, bridge, saved)
  local wanted = {}
  for _, port in ipairs(saved.ports or {}) do
    wanted[port.guest] = port.slot
  end
  for _, name in ipairs(bridge:members()) do
    local vm = lab[name]
    if vm then core.detach(bridge, vm) end
  end
  for _, port in ipairs(saved.ports or {}) do
    local vm = lab[port.guest]
    if vm then core.attach(bridge, vm, port.slot) end
  end
end

local function restore_bridges(lab, list)
  for _, saved in ipairs(list) do
    plug(lab, core.bridge_make(lab, saved.name, encode(saved)), saved)
  end
  for _, saved in ipairs(list) do
    local bridge = lab:bridge(saved.name)
    core.bridge_load(bridge, encode(saved))
    for _, other in ipairs(saved.routes or {}) do
      if lab[other] then bridge:route(lab:bridge(other)) end
    end
  end
end

function methods.restore(lab, snapshot)
  core.check(lab, "lab:restore")
  local text, folder, parts = core.read("lab:restore", snapshot)
  local saved = decode(text)
  local vms, work = {}, {}
  for name, was in pairs(saved.vms or {}) do
    local vm = lab[name] or lab:vm(name, was.profile)
    core.off(vm)
    if running(was.state) then
      vms[#vms + 1] = vm
      parts[name] = parts[name] or folder .. "/vm-" .. name
    end
  end
  restore_bridges(lab, saved.bridges or {})
  for i, vm in ipairs(vms) do
    core.prepare_restore(vm, parts[vm:name()])
    work[i] = function() vm:restore(parts[vm:name()]) end
  end
  core.acquire("lab:restore", unpack(vms))
  core.all(unpack(work))
  return lab
end
