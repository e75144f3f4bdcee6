-- The methods of RunResult, and what a bad one is said to be.
local fail, signal_name, fail_self, limits = ...

local OUTPUT_MAX = 2000

local methods = {}
local meta = { __index = methods }

local function check(result, name)
  if getmetatable(result) ~= meta then
    fail_self(result, name)
  end
end

local function is_ok(result)
  return result.status == "exited" and result.exit_code == 0
end

function methods.ok(result)
  check(result, "result:ok")
  return is_ok(result)
end

local function excerpt(name, text)
  if text == "" then
    return "\n" .. name .. ": (empty)"
  elseif #text > OUTPUT_MAX then
    text = ("... (%d bytes before)\n"):format(#text - OUTPUT_MAX)
      .. text:sub(-OUTPUT_MAX)
  end
  return "\n" .. name .. ":\n" .. text:gsub("\n$", "")
end

local function outputs(stdout, stderr)
  return excerpt("stdout", stdout) .. excerpt("stderr", stderr)
end

-- nil for a command that went well.
local function describe(result)
  if is_ok(result) then
    return nil
  end
  local what
  if result.status == "timed_out" then
    what = ("timed out after %.3gs and was killed"):format(result.duration)
  elseif result.status == "signalled" then
    what = "was killed by " .. signal_name(result.signal)
  else
    what = "exited with " .. result.exit_code
  end
  return ("command `%s` %s"):format(result.command, what)
    .. outputs(result.stdout, result.stderr)
end

function methods.assert_ok(result)
  check(result, "result:assert_ok")
  local problem = describe(result)
  if problem then
    fail(problem)
  end
  return result
end

limits.limit_all(methods, "result:")

return { meta, describe, outputs }
