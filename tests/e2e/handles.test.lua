-- Objects that outlive what they stand for, and tasks that misbehave.
local vm = provium:vm("handles"):boot()

test("a task that yields by itself starves nobody", function(t)
  local done = false
  provium.all(
    function() vm:run("sleep 0.2") done = true end,
    function() while not done do coroutine.yield() end end)
  t:assert(done)
end)

test("a call inside a C callback of a task says that it cannot", function(t)
  local err
  provium.all(
    function()
      local _, e = pcall(string.gsub, "a", "%a", function()
        vm:run("true")
      end)
      err = e
      vm:run("sleep 0.1")
    end,
    function() vm:run("true") end)
  t:assert_contains(tostring(err), "a task cannot wait inside a callback")
end)

test("lines end where another task closes the stream", function(t)
  local p = vm:run_async("echo one; sleep 600")
  local s = p:stdout_stream()
  local got = {}
  provium.all(
    function() for line in s:lines(60) do got[#got + 1] = line end end,
    function() wait_until(function() return #got == 1 end) s:close() end)
  t:assert_eq(got, {"one"})
end)

test("a file of another VM is refused", function(t)
  local other = provium:vm("other"):boot()
  local f = other:open_file("/etc/passwd", {read = true})
  local err = t:assert_raises(function() vm:fd_stream(f) end)
  t:assert_contains(tostring(err), "open in VM other, not in VM handles")
end)

test("what was open in a guest is gone with it", function(t)
  local f = vm:open_file("/etc/passwd", {read = true})
  local p = vm:run_async("sleep 600")
  vm:shutdown()
  vm:boot()
  t:assert_contains(tostring(t:assert_raises(function() f:read(1) end)),
    "the file is gone")
  t:assert_contains(tostring(t:assert_raises(function() p:status() end)),
    "the process is gone")
end)
