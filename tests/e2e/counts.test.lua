-- What hangs on a VM: open files, open streams, calls.
local lan = provium:bridge("lan")
local vm, other = provium:vm("a"), provium:vm("b")
lan:attach(vm)
provium:boot()

local function counts(v)
  return { v:open_file_count(), v:open_stream_count(), v:is_quiescent() }
end

local nothing = { 0, 0, true }

test("nothing hangs on a VM that was never booted, or just now", function(t)
  t:assert_eq(counts(provium:vm("new")), nothing)
  t:assert_eq(counts(vm), nothing)
  vm:run("true")
  t:assert_eq(counts(vm), nothing)
end)

test("a file counts until it is closed, on its VM alone", function(t)
  local f = vm:open_file("/etc/passwd", { read = true })
  local g = vm:open_file("/etc/passwd", { read = true })
  t:assert_eq(counts(vm), { 2, 0, false })
  t:assert_eq(counts(other), nothing)
  f:close()
  f:close()
  t:assert_eq(counts(vm), { 1, 0, false })
  g:close()
  t:assert_eq(counts(vm), nothing)
end)

test("a stream counts until it is closed", function(t)
  local s = vm:tail_file("/etc/passwd")
  local c = vm:console():read()
  t:assert_eq(counts(vm), { 0, 2, false })
  s:close()
  t:assert_eq(vm:open_stream_count(), 1)
  c:close()
  t:assert_eq(counts(vm), nothing)
end)

test("a capture counts on every VM of its bridge", function(t)
  local cap = lan:capture()
  t:assert_eq(counts(vm), { 0, 1, false })
  t:assert_eq(counts(other), nothing)
  cap:close()
  t:assert_eq(counts(vm), nothing)
end)

test("what is a worker's counts on its VM", function(t)
  local w = vm:spawn_worker()
  t:assert_eq(counts(vm), { 0, 0, false })
  w:open_file("/etc/passwd", { read = true })
  t:assert_eq(counts(vm), { 1, 0, false })
  w:close()
  t:assert_eq(counts(vm), nothing)
end)

test("a call in flight is no quiescence", function(t)
  local call = vm:syscall_async(230, { args = { 1, 0 }, -- clock_nanosleep
    bufs = { provium:pack("<i8i8", 600, 0) }, ptrs = { 2 } })
  t:assert_eq(counts(vm), { 0, 0, false })
  call:close()
  t:assert_eq(counts(vm), nothing)
  provium.race(function() vm:run("sleep 600") end, function()
    t:assert_eq(counts(vm), { 0, 0, false })
  end)
end)

test("a scope's end and a reset leave nothing", function(t)
  t:assert_eq(counts(vm), nothing) -- of the tests before
  vm:open_file("/etc/passwd", { read = true })
  local s = vm:tail_file("/etc/passwd")
  vm:reset()
  -- The file is gone; the stream has ended, and still has bytes for a reader.
  t:assert_eq(counts(vm), { 0, 1, false })
  s:close()
  t:assert_eq(counts(vm), nothing)
end)
