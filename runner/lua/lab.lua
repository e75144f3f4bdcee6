-- Methods of labs that act on all direct VMs at once. core is what C provides:
--   all(fn, ...)       provium.all
--   check(lab, name)   raises unless it is an open lab
local methods, core = ...

local function each_vm(lab, wanted, fn)
  local work = {}
  for _, name in ipairs(lab:vm_names()) do
    local vm = lab:vm(name)
    if wanted[vm:state()] then
      work[#work + 1] = function() fn(vm) end
    end
  end
  core.all(unpack(work))
end

function methods.boot(lab)
  core.check(lab, "lab:boot")
  each_vm(lab, { created = true, shutdown = true }, function(vm)
    vm:boot()
  end)
  return lab
end

for name, wanted in pairs({
  shutdown = { booted = true, paused = true },
  pause = { booted = true },
  resume = { paused = true },
}) do
  methods[name] = function(lab)
    core.check(lab, "lab:" .. name)
    each_vm(lab, wanted, function(vm)
      vm[name](vm)
    end)
  end
end
