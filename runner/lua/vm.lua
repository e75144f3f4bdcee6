-- vm:boot waits for the pool, then boots. core is what C provides:
--   acquire(method, options, vm, ...)
local methods, core = ...
local boot = methods.boot

function methods.boot(vm, options)
  core.acquire("vm:boot", options, vm)
  return boot(vm, options)
end
