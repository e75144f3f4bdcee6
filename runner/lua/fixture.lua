-- lab:vm_fixture and lab:lab_fixture. What a fixture makes stands in the file's
-- scope, whoever asks for it; who asks again has it as it was built. core is
-- what C provides:
--   check(lab, method)           raises unless it is an open lab
--   check_name(method, name)     raises unless it is one, or nil
--   root()                       the lab that `provium.vm_fixture(...)` means
--   find(method, name)           path of its source
--   lookup(method, source, kind) folder of its snapshot if the cache has it, or
--                                nil and why it has not
--   build(method, source, why)   waits for a process that builds it
--   vm(lab, name, source, folder)  the VM of that name, or a new one
--   lab(lab, name, source)       the same, of labs
--   file_scope(on)               whether new things go there; what was before
--   fail(method, text)           raises "file:line: method: text"
local methods, core, limits = ...

local function folder_of(method, name, kind)
  local source = core.find(method, name)
  local folder, why = core.lookup(method, source, kind)
  if not folder then
    core.build(method, source, why)
    folder = core.lookup(method, source, kind)
  end
  if not folder then
    core.fail(method, ("fixture '%s' was built, and is gone"):format(name))
  end
  return folder, source
end

-- provium.vm_fixture("x") is as good as provium:vm_fixture("x").
local function arguments(method, lab, name, as)
  if type(lab) == "string" then
    if as ~= nil then
      limits.surplus(method:gsub(":", "."), 2, lab, name, as)
    end
    lab, name, as = core.root(), lab, name
  end
  core.check(lab, method)
  core.check_name(method, as)
  return lab, name, as
end

local function in_file_scope(fn, ...)
  local before = core.file_scope(true)
  local ok, result = pcall(fn, ...)
  core.file_scope(before)
  if not ok then error(result, 0) end
  return result
end

function methods.vm_fixture(lab, name, as)
  lab, name, as = arguments("lab:vm_fixture", lab, name, as)
  local folder, source = folder_of("lab:vm_fixture", name, "vm")
  local vm = in_file_scope(core.vm, lab, as or name:match("[^/]+$"), source,
    folder)
  return vm:restore(folder)
end

function methods.lab_fixture(lab, name, as)
  lab, name, as = arguments("lab:lab_fixture", lab, name, as)
  local folder, source = folder_of("lab:lab_fixture", name, "lab")
  local sub = in_file_scope(core.lab, lab, as or name:match("[^/]+$"), source)
  return sub:restore(folder)
end
