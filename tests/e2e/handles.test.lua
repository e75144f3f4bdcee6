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

-- Everything that can be had of a guest, and a use of each. The text says
-- what is wrong with it afterwards.
local function everything(v)
  v:run("mkfifo /tmp/fifo; : > /tmp/tail", { check = true })
  local worker, p = v:spawn_worker(), v:run_async("sleep 600")
  local f = v:open_file("/etc/passwd", { read = true })
  local of_worker = worker:open_file("/etc/passwd", { read = true })
  local fifo = v:open_file("/tmp/fifo", { read = true, write = true })
  local p_of_worker = worker:run_async("sleep 600")
  local call = v:syscall_async(34)
  local busy = v:spawn_worker()
  local call_of_worker = busy:syscall_async(34)
  local uses = {
    { "file", "the file is gone", function() f:read(1) end },
    { "file", "the file is gone", function() f:seek(0) end },
    { "file", "the file is gone", function() f:tail_stream() end },
    { "vm", "the file is gone", function() v:fd_stream(f) end },
    { "file", "the worker is gone", function() of_worker:read_all() end },
    { "file", "the file is gone", function() fifo:write("x") end },
    { "process", "the process is gone", function() p:status() end },
    { "process", "the process is gone", function() p:wait(60) end },
    { "process", "the process is gone", function() p:kill() end },
    { "process", "the process is gone", function() p:signal("hup") end },
    { "process", "the process is gone", function() p:stdin_write("x") end },
    { "process", "the process is gone", function() p:close_stdin() end },
    { "process", "the process is gone", function() p:stdout_stream() end },
    { "process", "the worker is gone", function() p_of_worker:wait(60) end },
    { "worker", "the worker is gone", function() worker:run("true") end },
    { "worker", "the worker is gone", function() worker:run_async("true") end },
    { "worker", "the worker is gone", function() worker:syscall(39) end },
    { "worker", "the worker is gone", function() worker:syscall_async(39) end },
    { "worker", "the worker is gone", function() worker:ioctl(0, 1) end },
    { "worker", "the worker is gone", function()
      worker:open_file("/etc/passwd", { read = true })
    end },
    { "worker", "the worker is gone", function()
      worker:read_file("/etc/passwd")
    end },
    { "worker", "the worker is gone", function()
      worker:write_file("/tmp/w", "")
    end },
    { "worker", "the worker is gone", function() worker:join(60) end },
    { "worker", "the worker is gone", function() worker:kill() end },
    { "worker", "the worker is gone", function() worker:interrupt() end },
    { "call", "", function() call:await(60) end },
    { "call", "", function() call_of_worker:await(60) end },
  }
  local streams = { v:tail_file("/tmp/tail"), p:stdout_stream(),
    p:stderr_stream(), f:tail_stream(), v:fd_stream(fifo),
    p_of_worker:stdout_stream() }
  for _, s in ipairs(streams) do
    uses[#uses + 1] = { "stream", "", function() s:expect("never", 60) end }
    uses[#uses + 1] = { "stream", "", function() s:read_until("never", 60) end }
  end
  local kept = { f, of_worker, fifo, p, p_of_worker, worker, busy, call,
    call_of_worker, unpack(streams) }
  return uses, kept
end

-- Each use ends at once, with the author's line, whatever the guest is now.
local function all_gone(t, uses, kept, off)
  for i, use in ipairs(uses) do
    local kind, text, fn = unpack(use)
    local before = os.time()
    local err = tostring(t:assert_raises(fn))
    text = off and "VM 'v' is " .. off or text
    t:assert_match(err, "^tests/e2e/handles.test.lua:%d+: " .. kind .. ":",
      "use " .. i)
    if text ~= "" and kind ~= "stream" and kind ~= "call" then
      t:assert_contains(err, text)
    end
    t:assert(os.time() - before < 30, "use " .. i .. " took long")
  end
  for _, handle in ipairs(kept) do
    handle:close()
    handle:close()
  end
end

local ends = {
  { name = "a reset", fn = function(v) v:reset() end },
  { name = "a restart by the guest itself", fn = function(v)
    pcall(v.run, v, "echo b > /proc/sysrq-trigger; sleep 600")
    wait_until(function() return pcall(v.run, v, "true") end, { timeout = 60 })
  end },
  { name = "a shutdown", fn = function(v) v:shutdown() end },
  { name = "a shutdown and a boot", fn = function(v) v:shutdown() v:boot() end },
  { name = "the power button", fn = function(v)
    v:power_button()
    wait_until(function() return v:state() == "shutdown" end, { timeout = 60 })
  end },
  { name = "the guest's own power-off, and a boot", fn = function(v)
    pcall(v.run, v, "echo o > /proc/sysrq-trigger; sleep 600")
    v:boot()
  end },
  { name = "QEMU's end", fn = function(v)
    os.execute("kill -9 " .. v:pid())
    pcall(v.run, v, "sleep 600")
  end },
}

for _, how in ipairs(ends) do
  local name, fn = how.name, how.fn
  test("every handle says that it is gone after " .. name, { timeout = 300 },
    function(t)
      local v = provium:vm("v"):boot()
      local clock, console = v:clock(), v:console()
      local uses, kept = everything(v)
      fn(v)
      -- One that went off by itself may be booted again, or is dead.
      local off = not name:find("a shutdown") and v:state() ~= "booted"
      all_gone(t, uses, kept, off and v:state())
      if v:state() == "booted" then
        -- Those of the VM are of its next life too.
        t:assert(clock:get() > 0)
        t:assert_contains(console:read_log(), "Linux version")
        t:assert_eq(v:run("echo alive").stdout, "alive\n")
        t:assert_eq({ v:open_file_count(), v:open_stream_count() }, { 0, 0 })
      else
        t:assert_match(t:assert_raises(function() clock:get() end),
          "handles.test.lua:%d+: clock:get: VM 'v' is " .. v:state())
      end
    end)
end
