-- What is typed at the prompt of --debug-on-failure. core is what C provides:
--   say(text)                   prints it at the prompt
--   upvalue(fn, n)              the value of a function's upvalue
--   set_upvalue(fn, n, value)   changes it
--   show(value)                 a value as text
-- Returns a function that takes a line, the context t, and the frames of the
-- failed test (runner/frames.h), or nil.
local core, show = ...

local NO_FRAMES = {}

local frames = NO_FRAMES -- of the test that is held
local chosen = 0 -- the number of the frame whose variables are seen; 0: none
local vars = {} -- these, by name

local function choose(n)
  chosen = n
  vars = {}
  for _, var in ipairs(frames[n] and frames[n].vars or {}) do
    vars[var.name] = var
  end
end

local function value_of(var)
  if var.fn then
    return core.upvalue(var.fn, var.index)
  end
  return var.value
end

-- The innermost frame of a test file, else the innermost one.
local function first_choice()
  for n, frame in ipairs(frames) do
    if frame.is_test then
      return n
    end
  end
  return frames[1] and 1 or 0
end

-- What the prompt itself offers; a variable of the same name hides it.
local own = {}

function own.print(...)
  local out = {}
  for i = 1, select("#", ...) do
    out[i] = tostring((select(i, ...)))
  end
  core.say(table.concat(out, "\t") .. "\n")
end

function own.frames()
  for n, frame in ipairs(frames) do
    core.say(("%s %d  %s\n"):format(n == chosen and " >" or "  ", n,
      frame.text))
  end
end

function own.frame(n)
  if not frames[n] then
    error(("frame: there are the frames 1 to %d, got %s"):format(#frames,
      tostring(n)), 0)
  end
  choose(n)
  core.say(frames[n].text .. "\n")
end

-- Those of the chosen frame, in the order of the source; of equal names the
-- innermost.
function own.locals()
  for _, var in ipairs(frames[chosen] and frames[chosen].vars or {}) do
    if vars[var.name] == var then
      core.say(("  %s = %s\n"):format(var.name, show((value_of(var)))))
    end
  end
end

local env = setmetatable({}, {
  __index = function(_, name)
    local var = vars[name]
    if var then
      return value_of(var)
    elseif own[name] ~= nil then
      return own[name]
    end
    return _G[name]
  end,
  __newindex = function(_, name, value)
    local var = vars[name]
    if not var then
      _G[name] = value
    elseif var.fn then
      core.set_upvalue(var.fn, var.index, value)
    else
      var.value = value
    end
  end,
})

local function say_results(...)
  for i = 1, select("#", ...) do
    core.say(show((select(i, ...))) .. "\n")
  end
end

-- An expression, or else a statement.
local function load_line(line)
  return loadstring("return " .. line, "=prompt")
    or loadstring(line, "=prompt")
end

local function run(line)
  local fn, problem = load_line(line)
  if not fn then
    core.say(select(2, loadstring(line, "=prompt")) .. "\n")
    return problem
  end
  setfenv(fn, env)
  local function after(ok, ...)
    if ok then
      say_results(...)
    else
      core.say(tostring((...)) .. "\n")
    end
  end
  after(pcall(fn))
end

return function(line, t, of_test)
  if frames ~= (of_test or NO_FRAMES) then
    frames = of_test or NO_FRAMES
    choose(first_choice())
  end
  own.t = t
  run(line)
end
