-- vm:run in all its forms.
local vm = provium:vm("run"):boot()

test("shell text goes through a shell", function(t)
  local r = vm:run("echo out; echo err >&2; exit 3")
  t:assert_eq(r.exit_code, 3)
  t:assert_eq(r.stdout, "out\n")
  t:assert_eq(r.stderr, "err\n")
  t:assert_eq(r.status, "exited")
  t:assert_eq(r.timed_out, false)
  t:assert_eq(r:ok(), false)
  t:assert(r.duration >= 0)
end)

test("a list of arguments means direct execution", function(t)
  for _, r in ipairs({
    vm:run("echo", { "a  b", "$HOME" }),
    vm:run("echo", { args = { "a  b", "$HOME" } }),
    vm:run({ "echo", "a  b", "$HOME" }),
  }) do
    t:assert_eq(r.stdout, "a  b $HOME\n")
    t:assert(r:ok())
  end
end)

test("environment, working directory and stdin are given", function(t)
  local r = vm:run("echo $A; pwd; cat", {
    env = { A = "x y" }, cwd = "/proc", stdin = "in\0put",
  })
  t:assert_eq(r.stdout, "x y\n/proc\nin\0put")
end)

test("env_clear leaves nothing but what is given", function(t)
  local r = vm:run("/bin/busybox", { "env", env = { A = "1" },
    env_clear = true })
  t:assert_eq(r.stdout, "A=1\n")
end)

test("stdin is empty unless given", function(t)
  t:assert_eq(vm:run("cat").stdout, "")
end)

test("large stdin and output pass whole", function(t)
  local data = ("0123456789abcdef"):rep(128 * 1024)
  t:assert(vm:run("cat", { stdin = data }).stdout == data)
end)

test("a signal is told from an exit", function(t)
  local r = vm:run("kill -9 $$")
  t:assert_eq(r.exit_code, -1)
  t:assert_eq(r.status, "signalled")
  t:assert_eq(r.signal, 9)
  t:assert_contains(t:assert_raises(function() r:assert_ok() end),
    "command `kill -9 $$` was killed by SIGKILL")
end)

test("a time-out kills the process group and keeps the output", function(t)
  local r = vm:run("echo early; sleep 100 & sleep 100", { timeout = "3s" })
  t:assert_eq(r.exit_code, -2)
  t:assert_eq(r.status, "timed_out")
  t:assert(r.timed_out)
  t:assert_eq(r.stdout, "early\n")
  t:assert_contains(t:assert_raises(function() r:assert_ok() end),
    "timed out after")
  wait_until(function()
    return not vm:run("ps"):assert_ok().stdout:find("sleep 100", 1, true)
  end, { timeout = 60, desc = "the end of the group" })
end)

test("assert_ok shows command, status and both outputs", function(t)
  local e = t:assert_raises(function()
    vm:run("echo o; echo e >&2; exit 7"):assert_ok()
  end)
  t:assert_contains(e, "exited with 7")
  t:assert_contains(e, "stdout:\no")
  t:assert_contains(e, "stderr:\ne")
  t:assert_eq(vm:run("true"):assert_ok().exit_code, 0)
end)

test("a NUL byte in an output ends no message", function(t)
  local text = [[printf 'a\0b'; echo why >&2; exit 1]]
  local e = t:assert_raises(function() vm:run(text, { check = true }) end)
  t:assert_contains(e, "stdout:\na\0b\nstderr:\nwhy")
  e = t:assert_raises(function() vm:run(text):assert_ok() end)
  t:assert_contains(e, "stdout:\na\0b\nstderr:\nwhy")
end)

test("a name in env is not cut", function(t)
  local e = t:assert_raises(function()
    vm:run("true", { env = { ["A\0B"] = "1" } })
  end)
  t:assert_contains(e, "a name in env holds a NUL byte")
end)

test("check raises unless the command is ok", function(t)
  t:assert_eq(vm:run("true", { check = true }).exit_code, 0)
  local e = t:assert_raises(function() vm:run("exit 4", { check = true }) end)
  t:assert_match(e, "run.test.lua:%d+: vm:run: command `exit 4` exited with 4")
end)

test("a program that is not there raises", function(t)
  t:assert_contains(t:assert_raises(function()
    vm:run({ "/no/such/program" })
  end), "/no/such/program")
  t:assert_eq(vm:run("/no/such/program").exit_code, 127)
end)

test("misuse is refused", function(t)
  local function raises(text, ...)
    local args = { ... }
    t:assert_contains(t:assert_raises(function()
      vm:run(unpack(args))
    end), text)
  end
  raises("command must be a string, got a number", 5)
  raises("unknown option 'timout'; valid: args, env,", "true", { timout = 1 })
  raises("timeout must be a finite duration", "true", { timeout = -1 })
  raises("env.A must be a string", "true", { env = { A = {} } })
  raises("bad name 'A=B' in env", "true", { env = { ["A=B"] = "" } })
  raises("args is given twice", "a", { "b", args = { "c" } })
  raises("stdin must be a string", "cat", { stdin = 5 })
  raises("there is no program", {})
end)

test("a result takes fields of the test", function(t)
  local r = vm:run("true")
  r.note = "mine"
  t:assert_eq(r.note, "mine")
end)

test("tasks run commands side by side", function(t)
  local order = {}
  provium.all(function()
    vm:run("while [ ! -e /tmp/go ]; do sleep 0.05; done")
    order[#order + 1] = "waiter"
  end, function()
    vm:run("touch /tmp/go")
    order[#order + 1] = "toucher"
  end)
  t:assert_eq(order, { "toucher", "waiter" })
end)
