-- s:write_to(host_path): a stream goes to a file of the host.
local vm = provium:vm("writer"):boot()

local MIB = 1024 * 1024
local SIZE = 6 * MIB + 77
local here = debug.getinfo(1, "S").source:match("^@(.*/)") or ""

local function slurp(path)
  local f = assert(io.open(path, "rb"))
  local data = f:read("*a")

  f:close()
  return data
end

-- The hash that the host finds.
local function host_hash(path)
  local p = assert(io.popen("sha256sum < '" .. path .. "'"))
  local hash = p:read("*a"):match("^%x+")

  p:close()
  return hash
end

-- A test with n files, which are gone after it.
local function test_with(n, name, body)
  test(name, function(t)
    local paths = {}

    for i = 1, n do
      paths[i] = os.tmpname()
    end
    local ok, why = pcall(body, t, unpack(paths))
    for _, path in ipairs(paths) do
      os.remove(path)
    end
    if not ok then
      error(why, 0)
    end
  end)
end

local function guest_hash(path)
  return vm:run("sha256sum < " .. path):assert_ok().stdout:match("^%x+")
end

vm:run("head -c " .. SIZE .. " /dev/urandom > /tmp/blob"):assert_ok()

test_with(1, "megabytes of process output are the same in the file", function(t, path)
  local out = vm:run_async("cat /tmp/blob"):stdout_stream()
  local n, ended = out:write_to(path, 60)

  t:assert_eq(n, SIZE)
  t:assert_eq(ended, true)
  t:assert_eq(out:bytes(), SIZE)
  t:assert(out:eof())
  t:assert_eq(host_hash(path), guest_hash("/tmp/blob"))
end)

test_with(1, "it goes on in the background", function(t, path)
  local out = vm:run_async("cat /tmp/blob"):stdout_stream()
  local n, ended = out:write_to(path)

  t:assert(n <= SIZE)
  t:assert(not ended or n == SIZE)
  wait_until(function() return out:eof() end, { timeout = 60 })
  t:assert_eq(#slurp(path), SIZE)
  t:assert_eq(host_hash(path), guest_hash("/tmp/blob"))
end)

test_with(1, "a time-out leaves it to go on", function(t, path)
  local proc = vm:run_async("echo first; read line; cat /tmp/blob")
  local out = proc:stdout_stream()
  local _, ended = out:write_to(path, "10ms")

  t:assert_eq(ended, false)
  wait_until(function() return slurp(path) == "first\n" end)
  proc:stdin_write("go\n")
  wait_until(function() return out:eof() end, { timeout = 60 })
  t:assert_eq(#slurp(path), #"first\n" + SIZE)
end)

test_with(1, "what an expect left is the beginning", function(t, path)
  local out = vm:run_async("printf 'one two three'"):stdout_stream()

  out:expect("two ")
  local n, ended = out:write_to(path, 30)
  t:assert_eq({ n, ended }, { 5, true })
  t:assert_eq(slurp(path), "three")
end)

test_with(1, "nobody else reads it meanwhile", function(t, path)
  local out = vm:run_async("sleep 1000"):stdout_stream()

  out:write_to(path)
  local message = t:assert_raises(function() out:next() end)
  t:assert_contains(message, "the stream is being written to " .. path)
  t:assert_contains(message, "(write_to at ")
  t:assert_raises(function() out:write_to(path) end)
  out:close()
  t:assert_eq(out:next(), nil)
end)

test_with(1, "a console's stream can be written too", function(t, path)
  local s = vm:console():read()

  s:write_to(path)
  vm:run("echo to the console > /dev/console"):assert_ok()
  wait_until(function()
    return slurp(path):find("to the console", 1, true)
  end)
  s:close()
  t:assert_contains(slurp(path), "to the console")
end)

test("a relative path counts from the test's file", function(t)
  local name = "stream_write_to." .. os.time() .. ".tmp"
  local out = vm:run_async("printf here"):stdout_stream()

  out:write_to(name, 30)
  local found = slurp(here .. name)
  os.remove(here .. name)
  t:assert_eq(found, "here")
end)

test_with(4, "several at a time", function(t, ...)
  local paths, streams = { ... }, {}

  for i = 1, 4 do
    streams[i] = vm:run_async("cat /tmp/blob"):stdout_stream()
    streams[i]:write_to(paths[i])
  end
  for i = 1, 4 do
    wait_until(function() return streams[i]:eof() end, { timeout = 60 })
    t:assert_eq(host_hash(paths[i]), guest_hash("/tmp/blob"))
  end
end)
