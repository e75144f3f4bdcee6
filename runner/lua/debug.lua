-- What is typed at the prompt of --debug-on-failure. core is what C provides:
--   say(text)    prints it at the prompt
--   show(value)  a value as text
-- Returns a function that takes a line, and one that takes the context t.
local core, show = ...

local env = setmetatable({}, { __index = _G, __newindex = _G })

function env.print(...)
  local out = {}
  for i = 1, select("#", ...) do
    out[i] = tostring((select(i, ...)))
  end
  core.say(table.concat(out, "\t") .. "\n")
end

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

return function(line, t)
  rawset(env, "t", t)
  run(line)
end
