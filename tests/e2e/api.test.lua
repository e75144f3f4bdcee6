-- The typed description of what tests may call, against what there is.
local here = debug.getinfo(1, "S").source:sub(2):match("^(.*)/") or "."
local saved = { test = test, todo = todo, wait_until = wait_until, json = json,
  provium = provium }
local stubs = assert(loadfile(here .. "/../../runner/lua/stubs.lua"))()
test, todo, wait_until = saved.test, saved.todo, saved.wait_until
json, provium = saved.json, saved.provium

local vm = provium:vm("api", { disks = { { scratch = "1M" } } }):boot()

-- Not for tests to call, or the same for every object.
local unnamed = { close = true }

local function methods_of(object)
  local meta = debug.getmetatable(object)
  return meta.__methods or meta.__index
end

local function names(t)
  local list = {}
  for name, v in pairs(t) do
    if type(name) == "string" and not name:find("^__")
        and type(v) == "function" and not unnamed[name] then
      list[#list + 1] = name
    end
  end
  table.sort(list)
  return list
end

local function same(t, class, object)
  local real, said = names(methods_of(object)), names(stubs[class])
  local missing, extra = {}, {}
  local is_real, is_said = {}, {}
  for _, n in ipairs(real) do is_real[n] = true end
  for _, n in ipairs(said) do is_said[n] = true end
  for _, n in ipairs(real) do if not is_said[n] then missing[#missing + 1] = n end end
  for _, n in ipairs(said) do if not is_real[n] then extra[#extra + 1] = n end end
  t:assert_eq({ undescribed = missing, absent = extra },
    { undescribed = {}, absent = {} }, class)
end

test("every method of every type is described, and no other", function(t)
  same(t, "vm", vm)
  same(t, "snapshot", vm:snapshot())
  same(t, "lab", provium)
  local w = vm:spawn_worker()
  same(t, "worker", w)
  same(t, "call", w:syscall_async(39))
  same(t, "process", vm:run_async("true"))
  same(t, "result", vm:run("true"))
  same(t, "file", vm:open_file("/etc/passwd", { read = true }))
  same(t, "stream", vm:tail_file("/etc/passwd"))
  same(t, "console", vm:console())
  same(t, "clock", vm:clock())
  same(t, "lab_snapshot", provium:lab("sub"):snapshot())
  same(t, "disk", vm:disk("disk0"))
  same(t, "context", t)
  local lan = provium:bridge("lan")
  same(t, "bridge", lan)
  local b = provium:vm("b")
  lan:attach(b)
  same(t, "nic", lan:nic(b))
end)

test("globals are those described", function(t)
  for _, name in ipairs({ "test", "todo", "wait_until" }) do
    t:assert_eq(type(_G[name]), "function", name)
  end
  t:assert_eq({ type(provium.all), type(provium.race) }, { "function", "function" })
  t:assert_eq({ type(json.encode), type(json.decode) }, { "function", "function" })
end)
