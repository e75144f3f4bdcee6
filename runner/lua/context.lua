-- The test context `t`, and wait_until. core is what C provides:
--   fail(text)        marks the running test failed, and raises
--   is_marked(), unmark()
--   skip(reason)      marks it skipped, and raises
--   is_skip(err)
--   check_running(t)  raises unless t is the running test's
--   check_expired(method)
--   log(text)
--   duration(method, name, value, default)  seconds
--   now(), sleep(seconds)
--   tells_awaited(fn) while fn runs, the test's time-out names fn's `awaited`
--   attach(test, name, bytes)   keeps them as an artifact
--   tmpdir()          a directory that goes with the scope
--   arg_error(method, text)
--   type_name(v)      "a table"
local core, diff, limits = ...

local T = {}
T.__index = T

local function message(msg, text)
  if msg == nil then
    return text
  end
  return tostring(msg) .. ": " .. text
end

local function check_self(self, name)
  if getmetatable(self) ~= T then
    core.arg_error("t:" .. name,
      ("call it with a colon, as t:%s(...), got %s"):format(name,
        core.type_name(self)))
  end
  core.check_running(self, name)
end

-- t:name(...): fn without t.
local function method(name, fn)
  local max = limits.count(fn)
  T[name] = function(self, ...)
    check_self(self, name)
    return fn(...)
  end
  if max then
    T[name] = limits.limit(T[name], "t:" .. name, max + 1)
  end
end

local function check_type(name, what, v, wanted)
  if type(v) ~= wanted then
    core.arg_error(name, ("%s must be a %s, got %s"):format(what, wanted,
      core.type_name(v)))
  end
end

method("assert", function(...)
  local c, msg = ...
  if select("#", ...) == 0 then
    core.arg_error("t:assert", "needs a condition")
  end
  if not c then
    core.fail(msg ~= nil and tostring(msg)
      or ("assertion failed: the value is %s"):format(tostring(c)))
  end
  return ...
end)

method("assert_eq", function(a, b, msg)
  if not diff.equal(a, b) then
    core.fail(message(msg, diff.explain(a, b)))
  end
end)

method("assert_neq", function(a, b, msg)
  if diff.equal(a, b) then
    core.fail(message(msg, "both values are " .. diff.show(a)))
  end
end)

method("assert_contains", function(s, sub, msg)
  check_type("t:assert_contains", "text", s, "string")
  check_type("t:assert_contains", "part", sub, "string")
  if not s:find(sub, 1, true) then
    core.fail(message(msg, diff.explain_missing(s, sub)))
  end
end)

method("assert_match", function(s, pattern, msg)
  check_type("t:assert_match", "text", s, "string")
  check_type("t:assert_match", "pattern", pattern, "string")
  local ok, found = pcall(string.find, s, pattern)
  if not ok then
    core.arg_error("t:assert_match", ("bad pattern %s: %s"):format(
      diff.show(pattern), found))
  end
  if not found then
    core.fail(message(msg, ("%s does not match the pattern %s"):format(
      diff.brief(s), diff.show(pattern))))
  end
  return s:match(pattern)
end)

method("assert_raises", function(fn, msg)
  check_type("t:assert_raises", "fn", fn, "function")
  local was_marked = core.is_marked()
  local ok, err = pcall(fn)
  core.check_expired("t:assert_raises")
  if not ok and core.is_skip(err) then
    error(err, 0)
  end
  if not was_marked then
    core.unmark()
  end
  if ok then
    core.fail(message(msg, "no error was raised"))
  end
  return err
end)

method("fail", function(msg)
  core.fail(msg == nil and "t:fail() was called" or tostring(msg))
end)

method("skip", function(reason)
  core.skip(reason == nil and "skipped" or tostring(reason))
end)

method("log", function(...)
  local texts = { ... }
  for i = 1, select("#", ...) do
    local v = texts[i]
    texts[i] = type(v) == "string" and v or diff.show(v)
  end
  core.log(table.concat(texts, "\t"))
end)

method("tmpdir", function()
  return core.tmpdir()
end)

T.attach = limits.limit(function(self, name, bytes)
  check_self(self, "attach")
  return core.attach(self.name, name, bytes)
end, "t:attach", 3)

local wait_keys = { timeout = true, interval = true, desc = true }

local function wait_until_true(fn, opts)
  check_type("wait_until", "fn", fn, "function")
  if opts == nil then
    opts = {}
  end
  check_type("wait_until", "options", opts, "table")
  for k in pairs(opts) do
    if not wait_keys[k] then
      core.arg_error("wait_until", ("unknown option '%s'; valid: timeout, "
        .. "interval, desc"):format(tostring(k)))
    end
  end
  local timeout = core.duration("wait_until", "timeout", opts.timeout, 10)
  local interval = core.duration("wait_until", "interval", opts.interval,
    0.1)
  -- The end of the test's time looks for this name (await.c).
  local awaited = opts.desc
  local desc = awaited
  if desc == nil then
    desc = "condition"
  end
  check_type("wait_until", "desc", desc, "string")
  local deadline = core.now() + timeout
  while true do
    core.check_expired("wait_until")
    local v = fn()
    if v then
      return v
    end
    local left = deadline - core.now()
    if left <= 0 then
      core.raise(("wait_until: %s not met within %gs"):format(desc, timeout))
    end
    core.sleep(math.min(interval, left), desc)
  end
end

core.tells_awaited(wait_until_true)
wait_until = limits.limit(wait_until_true, "wait_until", 2)

-- Makes the `t` of a test.
return function(name, meta)
  return setmetatable({ name = name, meta = meta or {} }, T)
end
