-- What streams are for, as an author would write it.
local vm = provium:vm("examples"):boot()

test("wait for a log line", function(t)
  vm:mkdir("/var/log", {parents = true})
  vm:write_file("/var/log/messages", "")
  local f = vm:open_file("/var/log/messages", {read = true})
  local stream = f:tail_stream()
  vm:run_async("echo starting >>/var/log/messages; echo ready >>/var/log/messages")
  stream:expect("ready", "30s")
end)

test("race a process against a time-out", function(t)
  vm:write_file("/bin/slow-server",
    "#!/bin/sh\necho starting\nsleep 0.2\necho listening\nexec sleep 600\n",
    {mode = tonumber("755", 8)})
  local proc = vm:run_async("slow-server")
  local out = proc:stdout_stream()
  out:expect("listening", "30s")
  t:assert_eq(proc:status(), "running")
end)

test("a process that loses the race says what was waited for", function(t)
  local proc = vm:run_async("echo starting; exec sleep 600")
  local out = proc:stdout_stream()
  local err = t:assert_raises(function() out:expect("listening", "200ms") end)
  t:assert_contains(err, "expect timed out waiting for `listening`")
end)
