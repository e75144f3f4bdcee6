-- Methods of labs that act on all direct VMs at once. core is what C provides:
--   all(method, fn, ...)  provium.all, by that name
--   check(lab, name)   raises unless it is an open lab
--   acquire(method, vm, ...)  waits for what they need to boot
--   release(vm, ...)   gives it back for those that did not boot
local methods, core = ...

local function each_vm(method, lab, wanted, fn)
  local work = {}
  for _, name in ipairs(lab:vm_names()) do
    local vm = lab:vm(name)
    if wanted[vm:state()] then
      work[#work + 1] = function() fn(vm) end
    end
  end
  core.all(method, unpack(work))
end

function methods.boot(lab)
  core.check(lab, "lab:boot")
  local vms = {}
  for _, name in ipairs(lab:vm_names()) do
    vms[#vms + 1] = lab:vm(name)
  end
  -- In one go: labs that boot at the same time do not each get a half.
  core.acquire("lab:boot", unpack(vms))
  local ok, err = pcall(each_vm, "lab:boot", lab,
    { created = true, shutdown = true }, function(vm)
      vm:boot()
    end)
  if not ok then
    core.release(unpack(vms))
    error(err, 0)
  end
  return lab
end

for name, wanted in pairs({
  shutdown = { booted = true, paused = true },
  pause = { booted = true },
  resume = { paused = true },
}) do
  local method = "lab:" .. name
  methods[name] = function(lab)
    core.check(lab, method)
    each_vm(method, lab, wanted, function(vm)
      vm[name](vm)
    end)
  end
end
