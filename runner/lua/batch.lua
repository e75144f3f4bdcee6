-- vm:batch(function(b) ... end): the calls of b are made together, in one
-- round trip, as tasks. core is what C provides:
--   all(method, fn, ...)  provium.all, by that name
--   check(vm)          raises unless it is booted
--   type_name(v)           "a table"
--   fail(text)         raises "file:line: vm:batch: text"
--   site()             "file:line: " of the author
--   check_expired()    raises the test's time-out
--   host_path(path)    the path that the author's frame means by it
local methods, core = ...

-- As many calls as may be in flight at a time, by a good margin.
local CHUNK = 500

local allowed = {}
for name in ([[run run_async read_file write_file push_file pull_file stat
    listdir mkdir unlink rename open_file tail_file fd_stream syscall ioctl
    read_mem spawn_worker]]):gmatch("%S+") do
  allowed[name] = true
end

-- Which argument is a host path: the tasks have no author to be relative to.
local host_path_at = { push_file = 1, pull_file = 2 }

local function outcome(op, ok, ...)
  if not ok then
    local err = tostring((...))
    if not err:find("^[^\n]-:%d+: ") then
      err = op.site .. err
    end
    return { err = err }
  end
  if select("#", ...) == 0 then
    return { ok = true }
  end
  return { ok = (...) }
end

local function run(vm, ops, results, first, last)
  local tasks = {}
  for i = first, last do
    local op = ops[i]
    tasks[#tasks + 1] = function()
      results[i] = outcome(op, pcall(op.fn, vm, unpack(op, 1, op.n)))
    end
  end
  core.all("vm:batch", unpack(tasks))
end

function methods.batch(vm, fn)
  core.check(vm)
  if type(fn) ~= "function" then
    core.fail("fn must be a function that takes the batch, got "
      .. core.type_name(fn))
  end
  local ops, b = {}, nil
  local is_over = false
  b = setmetatable({}, {
    __index = function(_, name)
      if not allowed[name] then
        core.fail(("a batch has no call '%s'"):format(tostring(name)))
      end
      return function(self, ...)
        if self ~= b then
          core.fail(("call it as b:%s(...)"):format(name))
        end
        if is_over then
          core.fail("the batch is over")
        end
        local op = {
          fn = methods[name], site = core.site(), n = select("#", ...), ...
        }
        local at = host_path_at[name]
        if type(op[at]) == "string" then
          op[at] = core.host_path(op[at])
        end
        ops[#ops + 1] = op
      end
    end,
    __newindex = function()
      core.fail("a batch has no fields to set")
    end,
  })
  fn(b)
  is_over = true
  local results = {}
  for first = 1, #ops, CHUNK do
    run(vm, ops, results, first, math.min(first + CHUNK - 1, #ops))
    core.check_expired()
  end
  return results
end
