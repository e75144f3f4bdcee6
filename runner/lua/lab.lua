-- Methods of labs that act on all direct VMs at once.
local methods, tasks = ...

local function each_vm(lab, wanted, fn)
  local work = {}
  for _, name in ipairs(lab:vm_names()) do
    local vm = lab:vm(name)
    if wanted[vm:state()] then
      work[#work + 1] = function() fn(vm) end
    end
  end
  tasks.all(unpack(work))
end

function methods.boot(lab)
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
    each_vm(lab, wanted, function(vm)
      vm[name](vm)
    end)
  end
end
