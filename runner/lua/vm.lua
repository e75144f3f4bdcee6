-- vm:boot: checks, waits for the pool, boots. core is what C provides:
--   prepare(vm, options)        checks all, and makes the machine
--   acquire("vm:boot", vm)      waits for what it needs
--   start(vm)                   boots it
local methods, core = ...

function methods.boot(vm, options)
  core.prepare(vm, options)
  core.acquire("vm:boot", vm)
  return core.start(vm)
end
