-- The console while provium does not wait for it: Lua computes, or a program
-- of the host runs in os.execute.
provium.timeout = 900
provium.on_console = { "Fault:" }

local MIB = 1024 * 1024

-- The console's log, a file beside the socket.
local function log_path(vm)
  local dir = vm:console_socket_path():match("^(.*)/")
  return ("%s/%s.console"):format(dir, vm:name())
end

-- Its bytes, without a call of provium's.
local function log_size(vm)
  local f = assert(io.open(log_path(vm)))
  local n = f:seek("end")
  f:close()
  return n
end

-- Computes until the log has `size` bytes; fails when it stops growing.
local function compute_until(t, vm, size)
  local last, last_at = log_size(vm), os.time()
  while last < size do
    local x = 0
    for i = 1, 1e6 do x = x + i % 7 end
    local n = log_size(vm)
    if n > last then last, last_at = n, os.time() end
    t:assert(os.time() - last_at < 60,
      ("the guest stands still at %d of %d bytes"):format(last, size))
  end
end

-- Every number from 1 to n, once and in order, before a text of its own.
local function assert_lines(t, log, n, text)
  local want = 1
  for i in log:gmatch("line (%d+) " .. text .. "\r\n") do
    if tonumber(i) ~= want then
      t:fail(("line %d is missing, before line %s"):format(want, i))
    end
    want = want + 1
  end
  t:assert_eq(want - 1, n)
end

-- Has the guest's kernel print n numbered lines.
local function print_lines(vm, n, text)
  vm:run("echo on >/proc/sys/kernel/printk_devkmsg", { check = true })
  return vm:run_async(("i=0; while [ $i -lt %d ]; do i=$((i+1)); " ..
    "echo \"<3>line $i %s\" >/dev/kmsg; done"):format(n, text))
end

test("10 MiB of kernel messages arrive while Lua computes", function(t)
  local text = ("x"):rep(900)
  local n = math.ceil(10 * MIB / #text)
  local vm = provium:vm("busy"):boot()
  local before = log_size(vm)
  local p = print_lines(vm, n, text)
  compute_until(t, vm, before + 10 * MIB)
  t:assert(p:wait(300):ok())
  assert_lines(t, vm:console():read_log(), n, text)
end)

test("nothing is missing after a program of the host", function(t)
  local text, n = ("y"):rep(60), 600
  local vm = provium:vm("host"):boot()
  local p = print_lines(vm, n, text)
  -- The guest goes on: else the program would not end.
  local size = log_size(vm) + n * #text
  t:assert_eq(os.execute(("timeout 120 sh -c 'while " ..
    "[ $(stat -c %%s %s) -lt %d ]; do sleep 0.1; done'"):format(
    log_path(vm), size)), 0)
  t:assert(p:wait(300):ok())
  assert_lines(t, vm:console():read_log(), n, text)
end)

-- The kernel prints late lines of its boot to the log only.
local function boot_quiet(name)
  local vm = provium:vm(name):boot()
  vm:run("dmesg -n 1", { check = true })
  return vm
end

test("what came meanwhile is found, in its order", function(t)
  local vm = boot_quiet("late")
  local stream = vm:console():read()
  stream:drain(0)
  local p = vm:run_async("echo early >/dev/ttyS0; echo late >/dev/ttyS0")
  compute_until(t, vm, log_size(vm) + #"early\r\nlate\r\n")
  t:assert(p:wait(60):ok())
  vm:console():expect("early\r\nlate\r\n", 60)
  t:assert_eq(stream:read_until("late\r\n", 60), "early\r\nlate\r\n")
end)

test("an alarm that came meanwhile fails the next wait", function(t)
  local vm = boot_quiet("oops")
  vm:run_async("echo 'a Fault: here' >/dev/ttyS0")
  compute_until(t, vm, log_size(vm) + #"a Fault: here\r\n")
  local e = t:assert_raises(function() vm:run("sleep 1000") end)
  t:assert_contains(e, "the console shows `Fault:`: a Fault: here")
end)
