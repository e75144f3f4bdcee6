-- vm:run_async and its Process.
local vm = provium:vm("process", { memory = "384M" }):boot()

local function refused(t, text, fn, ...)
  local err = t:assert_raises(fn, ...)
  t:assert_match(err, "^tests/e2e/process.test.lua:%d+: ")
  t:assert_contains(err, text)
end

local function until_ended(t, p)
  wait_until(function() return p:status() == "exited" end, { timeout = 60 })
end

test("its life is seen from outside", function(t)
  local p = vm:run_async("cat; echo end >&2; exit 3")
  t:assert_eq(p:status(), "running")
  t:assert_eq(vm:run("readlink /proc/" .. p:pid() .. "/fd/0").stdout:sub(1, 5),
    "pipe:")
  p:stdin_write("one ")
  p:stdin_write("two\0")
  p:close_stdin()
  local r = p:wait(60)
  t:assert_eq({ r.exit_code, r.stdout, r.stderr, r.status, r.signal,
    r.timed_out, r.truncated }, { 3, "one two\0", "end\n", "exited", nil,
    false, false })
  t:assert_eq(p:status(), "exited")
  -- As often as one likes, and with the same outcome.
  t:assert_eq(p:wait().stdout, "one two\0")
  t:assert(p:handle() ~= vm:run_async("true"):handle())
end)

test("every form starts one, but for a time-out", function(t)
  for _, p in ipairs({ vm:run_async("echo $0 a"), vm:run_async("echo", { "a" }),
    vm:run_async({ "echo", "a" }),
    vm:run_async("echo", { args = { "a" }, env = { A = "b" }, cwd = "/" }) }) do
    t:assert_match(p:wait(60).stdout, "a\n$")
  end
  refused(t, "timeout", function() vm:run_async("true", { timeout = 1 }) end)
  refused(t, "'/none/such'", function() vm:run_async({ "/none/such" }) end)
end)

test("a wait that times out leaves it running", function(t)
  local p = vm:run_async("read x; echo got $x")
  refused(t, "`read x; echo got $x` is still running", function()
    p:wait("10ms")
  end)
  t:assert_eq(p:status(), "running")
  refused(t, "call process:status()", function() p:wait(0) end)
  p:stdin_write("it\n")
  t:assert_eq(p:wait(60).stdout, "got it\n")
end)

test("signals go by number and by name", function(t)
  for _, s in ipairs({ 10, "USR1", "SIGUSR1", "sigusr1", "usr1" }) do
    local p = vm:run_async("trap 'echo caught; exit 5' USR1; echo ready; "
      .. "while :; do sleep 0.01; done")
    p:stdout_stream():expect("ready", 60)
    p:signal(s)
    local r = p:wait(60)
    t:assert_eq({ r.exit_code, r.stdout }, { 5, "ready\ncaught\n" }, s)
  end
  local p = vm:run_async("sleep 1000")
  p:signal(0)
  refused(t, "no signal is named 'NONE'", function() p:signal("NONE") end)
  refused(t, "signal must be 0 to 64, got 65", function() p:signal(65) end)
  refused(t, "must be a number or a name", function() p:signal() end)
  p:kill()
  local r = p:wait(60)
  t:assert_eq({ r.exit_code, r.status, r.signal, r:ok() },
    { -1, "signalled", 15, false })
  refused(t, "No such process", function() p:signal("term") end)
  -- What was to end has ended.
  p:kill()
  p:kill("kill")
  t:assert_match(t:assert_raises(function() r:assert_ok() end), "SIGTERM")
end)

test("kill is for the whole group, signal for the one", function(t)
  local p = vm:run_async("sleep 1000 & echo $!; wait; echo waited; sleep 1000")
  local child = p:stdout_stream():read_until("\n", 60):match("%d+")
  p:signal("stop")
  p:signal("cont")
  p:kill("kill")
  t:assert_eq(p:wait(60).signal, 9)
  wait_until(function()
    return not vm:run("kill -0 " .. child):ok()
  end, { timeout = 60 })
end)

test("its output is replayed whenever a stream is opened", function(t)
  local p = vm:run_async("echo out; echo err >&2")
  until_ended(t, p)
  local a, b, e = p:stdout_stream(), p:stdout_stream(), p:stderr_stream()
  t:assert_eq({ a:drain(60), b:drain(60), e:drain(60) },
    { { "out\n" }, { "out\n" }, { "err\n" } })
  t:assert_eq({ a:eof(), b:eof(), e:eof() }, { true, true, true })
  t:assert_eq(p:wait(60).stdout, "out\n")
end)

test("wait gives what is left of what a stream has read", { timeout = 300 },
  function(t)
    local size = 24 * 1024 * 1024
    local p = vm:run_async("head -c " .. size .. " /dev/zero; echo the end")
    p:stdout_stream():expect("the end", 200)
    local r = p:wait(60)
    t:assert_eq({ r.exit_code, r.truncated, r.stdout:sub(-8) },
      { 0, true, "the end\n" })
    t:assert(#r.stdout < size, #r.stdout)
    -- A stream starts with the first byte, unless it is asked for less.
    refused(t, ("output fd 1 of process %d: its first "):format(p:pid()),
      function() p:stdout_stream() end)
  end)

test("nobody has to read what a process writes", { timeout = 120 },
  function(t)
    local p = vm:run_async("head -c 9000000 /dev/zero; touch /tmp/ready; "
      .. "sleep 1000")
    wait_until(function() return pcall(vm.stat, vm, "/tmp/ready") end,
      { timeout = 60 })
    p:kill()
    local r = p:wait(60)
    t:assert_eq(r.truncated, true)
    t:assert(#r.stdout >= 8 * 1024 * 1024 and #r.stdout < 9000000, #r.stdout)
  end)

test("of an output that nobody reads the newest bytes are kept",
  { timeout = 120 }, function(t)
    local p = vm:run_async("head -c 13000000 /dev/zero; echo end; "
      .. "echo why >&2")
    until_ended(t, p)
    local r = p:wait(100)
    t:assert_eq({ r.exit_code, r.truncated, r.stderr, r.stdout:sub(-4) },
      { 0, true, "why\n", "end\n" })
    local size = 13000004
    local refusal = ("its first %d bytes were dropped, the newest %d are kept")
      :format(size - #r.stdout, #r.stdout)
    refused(t, refusal, function() p:stdout_stream() end)
    refused(t, refusal, function() p:stdout_stream({ kept = false }) end)
    local s, dropped = p:stdout_stream({ kept = true })
    t:assert_eq(dropped, size - #r.stdout)
    s:expect("end\n", 60)
    t:assert_eq(s:bytes(), #r.stdout)
    local e, none = p:stderr_stream({ kept = true })
    t:assert_eq({ e:read_until("\n", 60), none }, { "why\n", 0 })
  end)

test("one output is followed while nobody reads the other", { timeout = 120 },
  function(t)
    local p = vm:run_async("head -c 20000000 /dev/zero >&2; echo done")
    p:stdout_stream():expect("done", 100)
    t:assert_eq(p:wait(60).truncated, true)
  end)

test("many outputs that nobody reads hold nobody up", { timeout = 200 },
  function(t)
    local small = provium:vm("small", { memory = "256M" }):boot()
    local all = {}
    for i = 1, 10 do
      all[i] = small:run_async("head -c 4000000 /dev/zero; echo end")
    end
    for i = 1, 10 do
      until_ended(t, all[i])
    end
    for i = 1, 10 do
      local r = all[i]:wait(60)
      t:assert_eq({ #r.stdout, r.truncated, r.stdout:sub(-4) },
        { 4000004, false, "end\n" }, i)
    end
  end)

test("who waits for a process that a stream holds up is told",
  { timeout = 200 }, function(t)
    local p = vm:run_async("head -c 20000000 /dev/zero >&2; echo done")
    local out, err = p:stdout_stream(), p:stderr_stream()
    wait_until(function() return err:bytes() >= 256 * 1024 end,
      { timeout = 60 })
    local why = "; nobody reads its proc_stderr_stream, opened at "
    refused(t, "nothing is pending" .. why, function() out:expect("done", 1) end)
    refused(t, "is still running" .. why, function() p:wait(1) end)
    t:assert_contains(t:assert_raises(function() out:lines(1)() end),
      "bytes wait there, and the process stands still when the guest holds "
      .. "8 MiB more")
    err:close()
    out:expect("done", 100)
  end)

test("a wait for output that does not come tells of the process", function(t)
  local p = vm:run_async("echo loading; echo cannot bind >&2; exit 4")
  local err = t:assert_raises(function() p:stdout_stream():expect("ready", 9) end)
  t:assert_match(err, "was waiting for `ready`; last bytes: \"loading\\n\"\n"
    .. "`[^`]+` exited with 4\nstderr:\ncannot bind$")
  -- What it tells of is still there to be read.
  t:assert_eq(p:wait().stderr, "cannot bind\n")

  p = vm:run_async("echo cannot bind >&2; sleep 1000")
  err = t:assert_raises(function() p:stdout_stream():expect("ready", 0.1) end)
  t:assert_match(err, "\n`[^`]+` is still running\nstderr:\ncannot bind$")
  p:kill("KILL")
  p:wait()

  p = vm:run_async("echo to stdout; kill -9 $$")
  err = t:assert_raises(function() p:stderr_stream():read_until("x", 9) end)
  t:assert_match(err, "\n`[^`]+` was killed by SIGKILL\nstdout:\nto stdout$")

  p = vm:run_async("head -c 1000 /dev/zero | tr '\\0' e >&2")
  err = t:assert_raises(function() p:stdout_stream():expect("ready", 9) end)
  t:assert_match(err, "exited with 0\nstderr ends:\ne+$")
  t:assert_eq(#err:match("e+$"), 400)

  -- Both outputs may have readers.
  p = vm:run_async("echo out; echo err >&2")
  local errors = p:stderr_stream()
  err = t:assert_raises(function() p:stdout_stream():expect("ready", 9) end)
  t:assert_contains(err, "exited with 0")
  t:assert_eq(errors:read_until("\n", 9), "err\n")
end)

test("stdin that nobody reads any more is an error, not a hang", function(t)
  local p = vm:run_async("exec <&-; echo closed; sleep 1000")
  p:stdout_stream():expect("closed", 60)
  local text = ("stdin of process %d: Broken pipe"):format(p:pid())
  refused(t, text, function()
    p:stdin_write(("x"):rep(1024 * 1024))
  end)
  p:close_stdin()
  refused(t, text, function() p:stdin_write("more") end)
end)

test("a closed process is gone, and its group with it", function(t)
  local p = vm:run_async("sleep 1000")
  local pid = p:pid()
  p:close()
  p:close()
  wait_until(function()
    return not vm:run("kill -0 " .. pid):ok()
  end, { timeout = 60 })
  for _, method in ipairs({ "wait", "kill", "status", "pid", "handle",
    "stdin_write", "close_stdin", "stdout_stream", "stderr_stream" }) do
    refused(t, "process:" .. method .. ": process is closed", function()
      p[method](p)
    end)
  end
end)

test("results are tables of the test's own", function(t)
  local r = vm:run("true")
  r.mine = 1
  t:assert_eq(r.mine, 1)
  t:assert(r:assert_ok() == r)
  t:assert(r.duration > 0 and r.duration < 60, r.duration)
end)
