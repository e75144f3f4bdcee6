-- vm:run where it could hang, lose bytes or say too little.
local vm = provium:vm("corners", { memory = "512M" }):boot()

local MB = 1024 * 1024

-- What the process that runs this file has needed at the most, in bytes.
local function peak_memory()
  local f = assert(io.open("/proc/self/status"))
  local kb = f:read("*a"):match("VmHWM:%s*(%d+) kB")
  f:close()
  return tonumber(kb) * 1024
end

local function refused(t, text, ...)
  local args = { ... }
  local e = t:assert_raises(function() vm:run(unpack(args)) end)
  t:assert_match(e, "^[^\n]*run_corners.test.lua:%d+: vm:run: ")
  t:assert_contains(e, text)
end

-- Bytes whose every shift differs: of a prime number, and not compressible.
local function noise(n)
  local piece = {}
  local seed = 1
  for i = 1, 65521 do
    seed = (seed * 16807) % 2147483647
    piece[i] = string.char(math.floor(seed / 1024) % 256)
  end
  local s = table.concat(piece)
  return s:rep(math.ceil(n / #s)):sub(1, n)
end

test("100 MiB on both outputs at once come whole", { timeout = 300 },
  function(t)
    local size = 100 * MB
    local before = peak_memory()
    local one, two = noise(MB), noise(MB):reverse()
    vm:write_file("/tmp/one", one)
    vm:write_file("/tmp/two", two)
    local r = vm:run([[
      often() { i=0; while [ $i -lt 100 ]; do cat $1; i=$((i + 1)); done; }
      often /tmp/one & often /tmp/two >&2; wait
    ]]):assert_ok()
    t:assert_eq(#r.stdout, size)
    t:assert_eq(#r.stderr, size)
    t:assert(r.stdout == one:rep(100), "stdout differs")
    t:assert(r.stderr == two:rep(100), "stderr differs")
    -- The answer, while it is received and as strings, and what this compares
    -- it with: no more copies than these.
    t:assert(peak_memory() - before < 7 * size,
      ("needed %d MiB"):format((peak_memory() - before) / MB))
  end)

test("a grandchild that holds stdout holds nobody up", function(t)
  local r = vm:run("echo first; sleep 1000 & echo $!"):assert_ok()
  local pid = r.stdout:match("^first\n(%d+)\n$")
  t:assert(pid, "the output is " .. r.stdout)
  t:assert_eq(vm:stat("/proc/" .. pid).entry_type, "directory")
  vm:run("kill " .. pid):assert_ok()
end)

test("a time-out kills the whole group and keeps the output", function(t)
  -- The time-out begins before the shell does: however slow the machine is,
  -- the test goes on until there was output to keep.
  local r
  for _, span in ipairs({ 2, 20, 120 }) do
    r = vm:run("echo out; echo err >&2; sleep 1111 & sleep 1111",
      { timeout = span })
    t:assert_eq({ r.exit_code, r.status, r.timed_out },
      { -2, "timed_out", true })
    t:assert_eq(r.signal, nil)
    if r.stderr ~= "" then
      break
    end
  end
  t:assert_eq({ r.stdout, r.stderr }, { "out\n", "err\n" })
  t:assert(r.duration > 0)
  t:assert(not r:ok())
  wait_until(function()
    return not vm:run("ps"):assert_ok().stdout:find("sleep 1111", 1, true)
  end, { timeout = 60, desc = "the end of the group" })
end)

test("a time-out of 0 still answers", function(t)
  local r = vm:run("sleep 1000", { timeout = 0 })
  t:assert_eq({ r.exit_code, r.status }, { -2, "timed_out" })
end)

test("stdin may be larger than a pipe", { timeout = 300 }, function(t)
  local data = noise(16 * MB)
  t:assert(vm:run({ "cat" }, { stdin = data }).stdout == data)
  -- and need not be read, wholly or at all
  t:assert_eq(vm:run("head -c 3", { stdin = "abcdef" .. data }).stdout, "abc")
  t:assert(vm:run("true", { stdin = data }):ok())
  t:assert_eq(vm:run("exec <&-; echo still", { stdin = data }).stdout,
    "still\n")
  local r = vm:run("sleep 1000", { stdin = data, timeout = "200ms" })
  t:assert_eq(r.status, "timed_out")
end)

test("NUL bytes pass in data, and are refused in arguments", function(t)
  local data = "\0a\0\0\255\n\0"
  t:assert_eq(vm:run("cat; cat <&0 >&2", { stdin = data }).stdout, data)
  t:assert_eq(vm:run("cat >&2", { stdin = data }).stderr, data)
  refused(t, "command holds a NUL byte", "a\0b")
  refused(t, "args[1] holds a NUL byte", "echo", { "a\0b" })
  refused(t, "args[2] holds a NUL byte", { "echo", "a\0b" })
  refused(t, "args[1] holds a NUL byte", "echo", { args = { "\0" } })
  refused(t, "env.A must be a string without NUL", "true",
    { env = { A = "\0" } })
  refused(t, "cwd holds a NUL byte", "true", { cwd = "/\0" })
end)

test("arguments go up to what the kernel takes", function(t)
  local args = {}
  for i = 1, 4096 do
    args[i] = ("%031d"):format(i)
  end
  local r = vm:run("printf", { args = { "%s\n", unpack(args) } })
  t:assert_eq(r.stdout, table.concat(args, "\n") .. "\n")
  -- MAX_ARG_STRLEN is 128 KiB with the byte that ends it.
  local long = ("x"):rep(128 * 1024 - 1)
  t:assert_eq(#vm:run("printf", { "%s", long }).stdout, #long)
  refused(t, "run 'printf': Argument list too long", "printf",
    { "%s", long .. "x" })
  local many = {}
  for i = 1, 30 do
    many[i] = long
  end
  refused(t, "Argument list too long", "printf", many)
  refused(t, "Argument list too long", "true", { env = { A = long } })
  -- Text for the shell is one argument too.
  refused(t, "Argument list too long", "true #" .. long)
end)

test("what cannot be started says why", function(t)
  local r = vm:run("no-such-program")
  t:assert_eq(r.exit_code, 127)
  t:assert_contains(r.stderr, "no-such-program: not found")
  refused(t, "run 'no-such-program': No such file or directory",
    { "no-such-program" })
  refused(t, "run '/no/such': No such file or directory", "/no/such", { "a" })
  vm:write_file("/tmp/plain", "#!/bin/sh\n", { mode = tonumber("644", 8) })
  refused(t, "run '/tmp/plain': Permission denied", { "/tmp/plain" })
  t:assert_eq(vm:run("/tmp/plain").exit_code, 126)
  refused(t, "run '/tmp': Permission denied", { "/tmp" })
  refused(t, "run 'true' in '/no/dir': No such file or directory", "true",
    { args = {}, cwd = "/no/dir" })
  refused(t, "in '/tmp/plain': Not a directory", "true",
    { cwd = "/tmp/plain" })
  vm:write_file("/tmp/garbage", "\127ELF", { mode = tonumber("755", 8) })
  refused(t, "run '/tmp/garbage': Exec format error", { "/tmp/garbage" })
  vm:write_file("/tmp/script", "#!/no/interpreter\n",
    { mode = tonumber("755", 8) })
  refused(t, "run '/tmp/script': No such file or directory",
    { "/tmp/script" })
end)

test("the environment is added to, replaced and cleared", function(t)
  t:assert_eq(vm:run("echo $A-$PATH", { env = { A = "1", PATH = "/bin" } })
    .stdout, "1-/bin\n")
  t:assert_contains(vm:run("env", { env = { A = "" } }).stdout, "PATH=/")
  local r = vm:run("/bin/busybox", {
    args = { "env" }, env_clear = true, env = { B = "x=y\n z" },
  })
  t:assert_eq(r.stdout, "B=x=y\n z\n")
  t:assert_eq(vm:run({ "/bin/busybox", "env", env_clear = true }).stdout, "")
  -- The program is looked for in the PATH that it is given.
  refused(t, "run 'busybox': No such file or directory", "busybox",
    { "true", env = { PATH = "/no" } })
end)

test("the end by a signal is named", function(t)
  for name, number in pairs({ SIGSEGV = 11, SIGTERM = 15, SIGKILL = 9 }) do
    local r = vm:run("kill -" .. number .. " $$")
    t:assert_eq({ r.exit_code, r.status, r.signal, r.timed_out },
      { -1, "signalled", number, false })
    local e = t:assert_raises(function() r:assert_ok() end)
    t:assert_match(e, "^[^\n]*run_corners.test.lua:%d+: command `kill")
    t:assert_contains(e, "was killed by " .. name)
  end
  t:assert_contains(
    t:assert_raises(function() vm:run("kill -40 $$"):assert_ok() end),
    "was killed by signal 40")
end)

test("check raises for each bad end", function(t)
  local checked = { check = true }
  t:assert_eq(vm:run("echo ok", checked).stdout, "ok\n")
  refused(t, "command `exit 9` exited with 9", "exit 9", checked)
  refused(t, "was killed by SIGKILL", "kill -9 $$", checked)
  refused(t, "timed out after", "sleep 1000",
    { check = true, timeout = "100ms" })
  refused(t, "stderr:\nwhy", "echo why >&2; false", checked)
end)

test("every form of a command is one command", function(t)
  local want = "a b|$HOME|\n"
  local format = "%s|%s|\n"
  local forms = {
    { "printf", { format, "a b", "$HOME" } },
    { "printf", { args = { format, "a b", "$HOME" } } },
    { { "printf", format, "a b", "$HOME" } },
    { { "printf", format, "a b", "$HOME" }, { cwd = "/" } },
    { { "printf", format, "a b", "$HOME", cwd = "/" } },
    { "printf", { format, "a b", "$HOME", cwd = "/", timeout = 60 } },
    { "printf '%s|%s|\\n' 'a b' '$HOME'" },
    { "printf '%s|%s|\\n' 'a b' '$HOME'", { cwd = "/" } },
    { "printf", { args = { format, "a b", "$HOME" }, check = true } },
  }
  for i, form in ipairs(forms) do
    t:assert_eq(vm:run(unpack(form)).stdout, want, "form " .. i)
    if not (form[2] and (form[2].timeout or form[2].check)) then
      local p = vm:run_async(unpack(form))
      t:assert_eq(p:wait().stdout, want, "async form " .. i)
      p:close()
    end
  end
  -- An empty list of arguments is one, and so no shell runs.
  refused(t, "run 'echo x': No such file or directory", "echo x",
    { args = {} })
  -- Options stand in one table or the other.
  local r = vm:run({ "pwd", cwd = "/proc" }, { env = { A = "1" } })
  t:assert_eq(r.stdout, "/proc\n")
end)

test("options given twice, or to the wrong call, are refused", function(t)
  refused(t, "args is given twice", { "a", args = { "b" } })
  refused(t, "args is given twice", { "a" }, { args = { "b" } })
  refused(t, "cwd is given twice", { "a", cwd = "/" }, { cwd = "/" })
  refused(t, "options must be a table, got a string", "true", "x")
  refused(t, "args[1] must be a string, got a boolean", "echo", { true })
  refused(t, "args must be a list without holes, it has the key 'x'", "echo",
    { args = { "a", x = "b" } })
  refused(t, "args must be a list without holes, it has the key 7", "echo",
    { "a", [7] = "b" })
  refused(t, "args must be a list without holes, it has the key 3",
    "echo",
    { args = { "a", nil, "c" } })
  local e = t:assert_raises(function()
    vm:run_async("true", { timeout = 1 })
  end)
  t:assert_match(e, "run_corners.test.lua:%d+: vm:run_async: ")
  t:assert_contains(e, "unknown option 'timeout'")
end)

test("duration is what the guest measured", function(t)
  local r = vm:run("sleep 0.3")
  t:assert(r.duration >= 0.3, "took " .. r.duration)
  local p = vm:run_async("sleep 0.3")
  t:assert(p:wait().duration >= 0.3)
end)
