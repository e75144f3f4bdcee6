-- What waits for the pool on its way. core is what C provides:
--   prepare(vm, options)        checks all, and makes the machine
--   acquire(method, vm)         waits for what it needs
--   start(vm)                   boots it
--   take_snapshot(vm, path)
--   prepare_restore(vm, snapshot, options), start_restore(vm)
--   workers(vm)                 those of before that the snapshot has
--   relink(worker)              begins a session with one
--   net_commands(vm)            what the guest is to run where its NICs came
--                               to other places
--   set_finish(fn)              gives labs the second half of a restore
local methods, core = ...

function methods.boot(vm, options)
  core.prepare(vm, options)
  core.acquire("vm:boot", vm)
  return core.start(vm)
end

function methods.snapshot(vm, path)
  return core.take_snapshot(vm, path)
end

-- Of one that is prepared, and has what it needs.
local function finish_restore(vm)
  core.start_restore(vm)
  for _, worker in ipairs(core.workers(vm)) do
    core.relink(worker)
  end
  for _, argv in ipairs(core.net_commands(vm)) do
    vm:run(argv):assert_ok()
  end
end
core.set_finish(finish_restore)

function methods.restore(vm, snapshot, options)
  core.prepare_restore(vm, snapshot, options)
  core.acquire("vm:restore", vm)
  finish_restore(vm)
  return vm
end
