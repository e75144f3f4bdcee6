-- The shortest tour of everything: one guest, each kind of call once. It is
-- run over every transport, also in a guest within a guest, where a boot
-- takes a minute, and on a busy host many: hence the long times allowed.
provium.timeout = 1200

local vm = provium:vm("smoke"):boot({agent_timeout = 900})

test("a command runs", function(t)
  local r = vm:run("echo out; echo err >&2; exit 3")
  t:assert_eq(r.stdout, "out\n")
  t:assert_eq(r.stderr, "err\n")
  t:assert_eq(r.exit_code, 3)
end)

test("arguments are passed as they are", function(t)
  local r = vm:run("printf", {"%s|", "a b", "", "$HOME"})
  t:assert_eq(r.stdout, "a b||$HOME|")
end)

-- The span is what an emulated guest in an emulated guest needs to say a word.
test("a command that takes too long is killed", function(t)
  local r = vm:run("echo started; sleep 600", {timeout = "15s"})
  t:assert(r.timed_out)
  t:assert_eq(r.stdout, "started\n")
end)

test("files are written, described, read and removed", function(t)
  local bytes = ("\0\1\2\255"):rep(50000)
  vm:write_file("/tmp/a", bytes)
  t:assert_eq(vm:stat("/tmp/a").size, #bytes)
  t:assert(vm:read_file("/tmp/a") == bytes, "the bytes differ")
  vm:rename("/tmp/a", "/tmp/b")
  vm:unlink("/tmp/b")
  local err = t:assert_raises(function() vm:stat("/tmp/b") end)
  t:assert_contains(tostring(err), "/tmp/b")
end)

test("a file is followed as it grows", function(t)
  vm:write_file("/tmp/log", "old\n")
  local tail = vm:tail_file("/tmp/log")
  vm:run("echo new >> /tmp/log; echo more >> /tmp/log")
  t:assert_eq(tail:read_until("more\n", 60), "new\nmore\n")
  tail:close()
end)

test("a process streams its output", function(t)
  local p = vm:run_async("for i in 1 2 3; do echo line $i; done; read x; echo $x")
  local out = p:stdout_stream()
  out:expect("line 3\n", 60)
  p:stdin_write("typed\n")
  out:expect("typed\n", 60)
  t:assert_eq(p:wait(60).exit_code, 0)
end)

test("the console is heard", function(t)
  vm:run("echo marker-on-console > /dev/console")
  t:assert_eq(vm:console():expect("marker-on-console", 60),
    "marker-on-console")
end)

test("a raw system call is made", function(t)
  local r = vm:syscall(39) -- getpid
  t:assert(r.ret > 0)
  t:assert_eq(r.errno, 0)
end)

test("a guest is restored from its snapshot", function(t)
  vm:write_file("/tmp/kept", "then")
  local f = vm:open_file("/tmp/kept", {read = true})
  local s = vm:snapshot()
  vm:write_file("/tmp/kept", "later")
  vm:restore(s, {agent_timeout = 900})
  t:assert_eq(vm:read_file("/tmp/kept"), "then")
  t:assert_eq(f:read_all(), "then")
  local uuid = vm:read_file("/proc/sys/kernel/random/uuid")
  vm:restore(s, {agent_timeout = 900})
  t:assert_neq(vm:read_file("/proc/sys/kernel/random/uuid"), uuid)
end)
