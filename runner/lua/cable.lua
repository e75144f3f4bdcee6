-- Cables: bridge:attach, bridge:detach, nic:disconnect, nic:reconnect; of VMs
-- that are off, and of guests that run. bridge and nic are the methods; core is
-- what C provides:
--   attach(bridge, vms)       a port for each; the list of those that run
--   check_detach(bridge, vm)  raises unless it may be; whether the VM runs
--   detach(bridge, vm)
--   ends(nic)                 its bridge and its VM; raises
--   link(method, bridge, vm, up)   waits until QEMU knows
--   command(bridge, vm, verb) what the guest is to run then, or nil; verb:
--                             "up", "down", "back" from a lost link
--   fail(method, text)        raises "file:line: method: text"
local bridge_methods, nic_methods, core = ...

-- The guest that was told of a link configures its NIC, or forgets it.
local function settle(method, vm, argv)
  local r = argv and vm:run(argv)
  if r and not r:ok() then
    core.fail(method, ("VM '%s': the guest's network: %s"):format(vm:name(),
      (r.stderr:gsub("%s+$", ""))))
  end
end

local function plug(bridge, vm)
  core.link("bridge:attach", bridge, vm, true)
  settle("bridge:attach", vm, core.command(bridge, vm, "up"))
end

-- All of them or, where one cannot be, none.
function bridge_methods.attach(bridge, vms)
  local running = core.attach(bridge, vms)
  for _, vm in ipairs(running) do
    local ok, err = pcall(plug, bridge, vm)
    if not ok then
      core.detach(bridge, vms)
      error(err, 0)
    end
  end
  return bridge
end

function bridge_methods.detach(bridge, vm)
  if core.check_detach(bridge, vm) then
    local argv = core.command(bridge, vm, "down")
    core.link("bridge:detach", bridge, vm, false)
    settle("bridge:detach", vm, argv)
  end
  core.detach(bridge, vm)
end

-- Addresses stay, the guest sees what its driver tells.
function nic_methods.disconnect(nic)
  local bridge, vm = core.ends(nic, "nic:disconnect")
  core.link("nic:disconnect", bridge, vm, false)
  return nic
end

function nic_methods.reconnect(nic)
  local bridge, vm = core.ends(nic, "nic:reconnect")
  core.link("nic:reconnect", bridge, vm, true)
  -- It may have started without.
  settle("nic:reconnect", vm, core.command(bridge, vm, "back"))
  return nic
end
