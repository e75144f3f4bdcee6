-- Every function that a test may call, called wrongly: it must be refused,
-- with the author's file and line, the function's name, the argument's or
-- key's name, what was given and what is valid. What there is to call comes
-- from runner/lua/stubs.lua, so a new function is tried without a word here.
local typed = require("typed")

local here = debug.getinfo(1, "S").source:sub(2):match("^(.*)/") or "."
local stubs = typed.read(here .. "/../../runner/lua/stubs.lua")

local NAMES = {
  Provium = "provium", Lab = "lab", VM = "vm", Worker = "worker",
  Call = "call", Process = "process", RunResult = "result", File = "file",
  Stream = "stream", Console = "console", Clock = "clock", Bridge = "bridge",
  Nic = "nic", Disk = "disk", Context = "t", json = "json",
  Snapshot = "snapshot", LabSnapshot = "lab_snapshot",
}

local vm = provium:vm("args", {
  disks = { { scratch = "1M", mediated = true } },
}):boot()
local off = provium:vm("off")
local bridge = provium:bridge("net")
local snapshot = vm:snapshot()
local lab_snapshot = provium:lab("taken"):snapshot()

-- An object of each class that nothing is done to: each call is refused.
local function make_objects(t)
  local sleeper = vm:run_async("sleep 100000")
  local worker = vm:spawn_worker()
  return {
    Provium = provium, Lab = provium:lab("inner"), VM = vm, Worker = worker,
    Call = worker:syscall_async(39), Process = sleeper,
    RunResult = vm:run("true"),
    File = vm:open_file("/etc/passwd", { read = true }),
    Stream = sleeper:stdout_stream(), Console = vm:console(),
    Clock = vm:clock(), Disk = vm:disk("disk0"), Bridge = bridge,
    Context = t, json = json, Snapshot = snapshot,
    LabSnapshot = lab_snapshot,
  }
end

-- Where the object that serves would say first that its state is wrong.
local OTHER_OBJECT = { ["VM:boot"] = off }

-- Names that are said in another way than the description's.
local function names_of(param)
  return { param.name, (param.name:gsub("_", " ")) }
end

local GOT = {
  ["nil"] = { "got nil", "got nothing" }, boolean = { "a boolean", "true" },
  number = { "a number", "12345", "1.5", "nan" }, string = { "a string" },
  table = { "a table" }, ["function"] = { "a function" },
  userdata = { "an object" }, thread = { "a coroutine" },
}

-- How a message says what is valid.
local VALID = { "must ", "valid: ", "want ", "write " }

local WRONG = {
  number = 12345, string = "nonsense", boolean = true, table = {},
  ["function"] = function() end, userdata = newproxy(false),
  thread = coroutine.create(function() end),
}

local function good_value(type_)
  if type_.is_any then
    return "x"
  elseif type_.values and not type_.takes_any_string then
    return type_.values[1]
  elseif type_.object == "VM" then
    return off
  elseif type_.signal then
    return 15
  elseif type_.duration then
    return "10ms"
  elseif type_.size then
    return "1M"
  elseif type_.kinds.string then
    return "x"
  elseif type_.kinds.number then
    return 1
  elseif type_.kinds["function"] then
    return function() end
  elseif type_.kinds.table then
    return {}
  end
end

local function contains_any(text, list)
  for _, part in ipairs(list) do
    if text:find(part, 1, true) then
      return true
    end
  end
  return false
end

-- Wrong values of the right Lua type: {value, what the message shows}.
local function wrong_of_kind(type_)
  local list = {}
  if type_.is_any then
    return list
  end
  if type_.is_integer then
    list[#list + 1] = { 1.5, "1.5" }
    list[#list + 1] = { 0 / 0, "nan" }
  end
  if type_.kinds.number and type_.duration then
    list[#list + 1] = { 0 / 0, "nan" }
    list[#list + 1] = { 1 / 0, "inf" }
    list[#list + 1] = { -1, "-1" }
  end
  if type_.duration or type_.size then
    list[#list + 1] = { "5 parsecs", "5 parsecs" }
  end
  if type_.size then
    list[#list + 1] = { -1, "-1" }
  end
  if type_.signal then
    list[#list + 1] = { "SIGBOGUS", "SIGBOGUS" }
    list[#list + 1] = { 1000, "1000" }
  end
  if type_.values and not type_.takes_any_string then
    list[#list + 1] = { "bogus", "bogus" }
  end
  return list
end

-- Of one function: calls it, and notes what is not as it should be.
local Trial = {}
Trial.__index = Trial

function Trial:complain(what, err)
  self.problems[#self.problems + 1] = ("%s with %s: %s"):format(self.method,
    what, err)
end

-- An error of these arguments must say each of the texts; a text may be a list
-- of which one is enough.
function Trial:refused(what, n, args, texts)
  local fn, line = self.fn, nil
  if self.object then
    args, n = { self.object, unpack(args, 1, n) }, n + 1
  end
  local ok, err = self.raises(function()
    line = debug.getinfo(1, "l").currentline + 1
    local r = fn(unpack(args, 1, n))
    return r, r -- no tail call: this is the frame that is to be blamed
  end)
  if not ok then
    return self:complain(what, "was not refused")
  end
  err = tostring(err)
  local prefix = ("tests/e2e/arguments.test.lua:%d: %s: "):format(line,
    self.method)
  if err:sub(1, #prefix) ~= prefix then
    return self:complain(what, "does not begin with " .. prefix .. ": " .. err)
  end
  local text = err:sub(#prefix + 1)
  for _, want in ipairs(texts) do
    want = type(want) == "table" and want or { want }
    if not contains_any(text, want) then
      self:complain(what, ("does not say '%s': %s"):format(want[1], err))
    end
  end
end

-- What each parameter gets that stands before the one that is tried.
function Trial:good_until(i)
  local args = {}
  for k = 1, i - 1 do
    local param = self.params[k]
    if not param.optional then
      args[k] = good_value(param.type)
    end
  end
  return args
end

-- Good values around one that is not; and how many they are.
function Trial:args_with(i, value)
  local args, n = self:good_until(i), i
  args[i] = value
  for k = i + 1, #self.params do
    if not self.params[k].optional and self.params[k].name ~= "..." then
      args[k], n = good_value(self.params[k].type), k
    end
  end
  return n, args
end

function Trial:try_value(i, value, texts, what)
  local param = self.params[i]
  local n, args = self:args_with(i, value)
  local names = param.name == "..." and { "argument", "arg", "value" }
    or names_of(param)
  table.insert(texts, 1, names)
  self:refused(("%s = %s"):format(param.name, what or tostring(value)), n,
    args, texts)
end

function Trial:try_kinds(i)
  local param = self.params[i]
  local type_ = param.type
  if type_.is_any then
    return
  end
  for kind, value in pairs(WRONG) do
    if not type_.kinds[kind] then
      self:try_value(i, value, { GOT[kind], VALID }, "a " .. kind)
    end
  end
  if not param.optional and param.name ~= "..." and not self.has_overload
  then
    local args = self:good_until(i)
    self:refused(param.name .. " missing", i - 1, args,
      { names_of(param), GOT["nil"], VALID })
  end
  for _, wrong in ipairs(wrong_of_kind(type_)) do
    self:try_value(i, wrong[1], { wrong[2] })
  end
end

-- What a value of that type holds: list items, options.
function Trial:try_inside(i)
  local param = self.params[i]
  local type_ = param.type
  local fields = type_.fields
  if type_.item and not type_.item.is_any then
    for kind, value in pairs(WRONG) do
      -- A number is as good as its text, in lists of arguments.
      if not type_.item.kinds[kind] and kind ~= "number" then
        local n, args = self:args_with(i, { value })
        self:refused(("%s = {a %s}"):format(param.name, kind), n, args,
          { GOT[kind], "[1]", VALID })
      end
    end
  end
  if not fields or type_.item then
    return
  end
  self:try_fields(i, fields)
end

function Trial:try_fields(i, fields)
  local function refused(what, options, texts)
    local n, args = self:args_with(i, options)
    self:refused(what, n, args, texts)
  end
  if not self.params[i].type.is_open then
    local texts = { "unknown option 'bogus_key'", "valid: " }
    for name in pairs(fields) do
      texts[#texts + 1] = name
    end
    refused("an unknown option", { bogus_key = 1 }, texts)
  end
  for name, field in pairs(fields) do
    for kind, value in pairs(WRONG) do
      if not field.kinds[kind] and not field.is_any then
        refused(("{%s = a %s}"):format(name, kind), { [name] = value },
          { name, GOT[kind], VALID })
      end
    end
    for _, wrong in ipairs(wrong_of_kind(field)) do
      refused(("{%s = %s}"):format(name, tostring(wrong[1])),
        { [name] = wrong[1] }, { name, wrong[2] })
    end
  end
end

-- More arguments than the description has, and a nil more.
function Trial:try_surplus()
  local max = #self.params
  if max > 0 and self.params[max].name == "..." then
    return
  end
  local n, args = self:args_with(max + 1, "surplus")
  self:refused("a surplus argument", n, args, {
    max == 0 and "takes no argument, " or ("takes %d argument"):format(max),
    ("got %d: argument %d is a string"):format(n, n),
  })
end

-- These take a name in place of the lab: provium.vm_fixture("x").
local WITH_A_DOT = { vm_fixture = true, lab_fixture = true }

-- A method on nothing, and on something else.
function Trial:try_self(class)
  if not self.object then
    return
  end
  local object = self.object
  for kind, value in pairs({ table = {}, userdata = WRONG.userdata,
    string = "x" }) do
    self.object = value
    if not (kind == "string" and WITH_A_DOT[self.name]) then
      self:refused("self = a " .. kind, 0, {},
        { { ":" .. self.name .. "(...)", self.name .. "(...)" } })
    end
  end
  self.object = nil
  self:refused("self = nil", 0, {}, { self.name .. "(...)" })
  self.object = object
  return class
end

local function trial(t, problems, objects, f)
  local object = OTHER_OBJECT[f.owner .. ":" .. f.name] or objects[f.owner]
  local prefix = NAMES[f.owner] and NAMES[f.owner] .. f.colon or ""
  local self = setmetatable({
    raises = t and function(fn) return pcall(t.assert_raises, t, fn) end
      or function(fn)
        local done, err = pcall(fn)
        return not done, err
      end,
    has_overload = f.has_overload, problems = problems, params = f.params,
    name = f.name,
    method = prefix .. f.name, object = f.colon == ":" and object or nil,
    fn = f.owner == "" and _G[f.name] or object[f.name],
  }, Trial)
  if not self.fn then
    return self:complain("anything", "there is no such function")
  end
  self:try_self(f.owner)
  self:try_surplus()
  for i = 1, #f.params do
    self:try_kinds(i)
    self:try_inside(i)
  end
end

for _, owner in ipairs({ "Provium", "Lab", "VM", "Worker", "Call", "Process",
  "RunResult", "File", "Stream", "Console", "Clock", "Disk", "Bridge", "Nic",
  "Snapshot", "LabSnapshot", "Context", "json" }) do
  test("wrong calls are refused: " .. owner, { timeout = 300 }, function(t)
      local problems = {}
      local objects = make_objects(t)
      if owner == "Nic" then
        bridge:attach(off)
        objects.Nic = bridge:nic(off)
      end
      for _, f in ipairs(stubs.classes[owner].functions) do
        trial(t, problems, objects, f)
      end
      t:assert(#stubs.classes[owner].functions > 0, "nothing was tried")
      t:assert(#problems == 0, ("%d problems:\n%s"):format(#problems,
        table.concat(problems, "\n")))
    end)
end

-- Those of a file's chunk.
local of_chunk = {}
for _, f in ipairs(stubs.classes[""].functions) do
  trial(nil, of_chunk, {}, f)
end

-- A todo() that was not refused would skip the tests that could tell.
assert(#of_chunk == 0, table.concat(of_chunk, "\n"))
