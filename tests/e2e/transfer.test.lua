-- Files between host and guest: any size in little memory, whole or not at all.
local vm = provium:vm("transfer", { memory = "640M" }):boot()

local MB = 1024 * 1024
local SIZE = 256 * MB

-- Bytes that do not repeat at any power of two.
local piece = {}
for i = 1, 65521 do
  piece[i] = string.char((i * i + math.floor(i / 251)) % 256)
end
local noise = table.concat(piece):rep(17)

local function peak_memory()
  local f = assert(io.open("/proc/self/status"))
  local kb = f:read("*a"):match("VmHWM:%s*(%d+) kB")
  f:close()
  return tonumber(kb) * 1024
end

local write_host = require("host_file").write

local function read_host(path)
  local f = io.open(path, "rb")
  local data = f and f:read("*a")
  if f then
    f:close()
  end
  return data
end

local function make_big(path)
  local f = assert(io.open(path, "wb"))
  local left = SIZE
  while left > 0 do
    f:write(noise:sub(1, left))
    left = left - #noise
  end
  f:close()
end

local function host_sum(path)
  local p = assert(io.popen("md5sum < " .. path))
  local sum = p:read("*l")
  p:close()
  return sum
end

local function fails(t, text, fn)
  local e = t:assert_raises(fn)
  t:assert_match(e, "^[^\n]*transfer.test.lua:%d+: vm:pu[ls][lh]_file: ")
  t:assert_contains(e, text)
end

local function names(dir)
  local p = assert(io.popen("ls -A " .. dir))
  local list = p:read("*a")
  p:close()
  return list
end

test("large files pass whole, in little memory", { timeout = 600 },
  function(t)
    local dir = t:tmpdir()
    make_big(dir .. "/big")
    collectgarbage()
    local before = peak_memory()
    vm:push_file(dir .. "/big", "/tmp/big")
    t:assert_eq(vm:stat("/tmp/big").size, SIZE)
    vm:pull_file("/tmp/big", dir .. "/back")
    t:assert(peak_memory() - before < 64 * MB,
      ("took %d MiB"):format((peak_memory() - before) / MB))
    local sum = host_sum(dir .. "/big")
    t:assert_eq(host_sum(dir .. "/back"), sum)
    t:assert_eq(vm:run("md5sum < /tmp/big"):assert_ok().stdout, sum .. "\n")
    vm:unlink("/tmp/big")
    t:assert_eq(names(dir), "back\nbig\n")
  end)

test("64 MiB pass through strings", { timeout = 300 }, function(t)
  local data = noise:rep(math.ceil(64 * MB / #noise)):sub(1, 64 * MB)
  vm:write_file("/tmp/data", data)
  local dir = t:tmpdir()
  write_host(dir .. "/data", data)
  t:assert_eq(vm:run("md5sum < /tmp/data"):assert_ok().stdout,
    host_sum(dir .. "/data") .. "\n")
  t:assert(vm:read_file("/tmp/data") == data, "the bytes differ")
  vm:unlink("/tmp/data")
end)

test("a file that becomes shorter while it is sent is an error",
  { timeout = 300 }, function(t)
    local path = t:tmpdir() .. "/shrinks"
    make_big(path)
    local err
    provium.all(function()
      err = t:assert_raises(function() vm:push_file(path, "/tmp/s") end)
    end, function()
      wait_until(function()
        return vm:run("test -s /tmp/s"):ok()
      end, { timeout = 200, interval = 0, desc = "the first bytes" })
      write_host(path, "short")
    end)
    t:assert_contains(err, path .. "' on the host has become shorter")
    t:assert(vm:run("true"):ok())
    vm:unlink("/tmp/s")
  end)

test("what is pulled takes the target's place when it is complete",
  function(t)
    local dir = t:tmpdir()
    write_host(dir .. "/old", "old")
    os.execute("chmod 640 " .. dir .. "/old; ln -s old " .. dir .. "/link; "
      .. "ln -s absent " .. dir .. "/dangling")
    vm:write_file("/tmp/new", "new\0bytes")
    vm:pull_file("/tmp/new", dir .. "/link")
    t:assert_eq(read_host(dir .. "/old"), "new\0bytes")
    local p = io.popen("stat -c %a-%F " .. dir .. "/old " .. dir .. "/link")
    t:assert_eq(p:read("*a"), "640-regular file\n777-symbolic link\n")
    p:close()
    vm:pull_file("/tmp/new", dir .. "/fresh")
    vm:pull_file("/proc/version", dir .. "/dangling")
    t:assert_contains(read_host(dir .. "/dangling"), "Linux")
    vm:write_file("/tmp/empty", "")
    vm:pull_file("/tmp/empty", dir .. "/fresh")
    t:assert_eq(read_host(dir .. "/fresh"), "")
    t:assert_eq(names(dir), "dangling\nfresh\nlink\nold\n")
  end)

local function output(command)
  local p = assert(io.popen(command))
  local text = p:read("*a")
  p:close()
  return text
end

test("the mode goes along, both ways, with set-id and sticky bits",
  function(t)
    local dir = t:tmpdir()
    for _, mode in ipairs({ "7751", "4755", "2710", "1777", "444" }) do
      write_host(dir .. "/f", "x")
      output(("chmod %s %s/f"):format(mode, dir))
      vm:push_file(dir .. "/f", "/tmp/mode" .. mode)
      t:assert_eq(vm:run("stat -c %a /tmp/mode" .. mode).stdout, mode .. "\n")
      vm:pull_file("/tmp/mode" .. mode, dir .. "/back" .. mode)
      t:assert_eq(output(("stat -c %%a %s/back%s"):format(dir, mode)),
        mode .. "\n")
      os.remove(dir .. "/f")
    end
    vm:mkdir("/tmp/setgid", { perm = tonumber("2775", 8) })
    t:assert_eq(vm:run("stat -c %a /tmp/setgid").stdout, "2775\n")
  end)

-- The kernel takes the bits away when who is not root writes.
test("a worker that is not root sets the mode behind the data", function(t)
  local w = vm:spawn_worker()
  t:assert_eq(w:syscall(105, 1000).ret, 0)
  w:write_file("/tmp/of-worker", noise, { mode = tonumber("4755", 8) })
  t:assert_eq(vm:run("stat -c '%a %u' /tmp/of-worker").stdout, "4755 1000\n")
end)

test("files that the kernel makes as they are read arrive whole", function(t)
  local paths = output("ls /proc/version /proc/cpuinfo "
    .. "/proc/sys/kernel/ostype /sys/kernel/mm/transparent_hugepage/enabled "
    .. "/sys/devices/system/cpu/possible 2>/dev/null")
  local count = 0
  for path in paths:gmatch("[^\n]+") do
    local want = read_host(path)
    vm:push_file(path, "/tmp/made")
    local got = vm:read_file("/tmp/made")
    -- Frequencies are other ones each time.
    want, got = want:gsub("MHz[^\n]*", ""), got:gsub("MHz[^\n]*", "")
    t:assert_eq(got, want, path)
    count = count + 1
  end
  t:assert(count >= 3, paths)
  fails(t, "/proc/kcore", function() vm:push_file("/proc/kcore", "/tmp/x") end)
end)

test("holes of a file stay holes, both ways", function(t)
  local dir = t:tmpdir()
  local size = 2 * 1024 * MB
  output(("truncate -s 1G %s/f; printf middle >>%s/f; truncate -s %d %s/f")
    :format(dir, dir, size, dir))
  t:assert(tonumber(output(("du -k %s/f | cut -f1"):format(dir))) < 1024)
  vm:push_file(dir .. "/f", "/tmp/holes")
  vm:pull_file("/tmp/holes", dir .. "/back")
  t:assert_eq(vm:stat("/tmp/holes").size, size)
  t:assert(tonumber(vm:run("du -k /tmp/holes | cut -f1").stdout) < 1024)
  local f = vm:open_file("/tmp/holes", { read = true })
  f:seek(1024 * MB)
  t:assert_eq(f:read(6), "middle")
  f:close()
  t:assert_eq(output(("cmp %s/f %s/back && stat -c %%s %s/back")
    :format(dir, dir, dir)), size .. "\n")
  t:assert(tonumber(output(("du -k %s/back | cut -f1"):format(dir))) < 1024)
  vm:unlink("/tmp/holes")
end)

test("a target that is no regular file is written itself", function(t)
  local dir = t:tmpdir()
  os.execute(("mkfifo %s/fifo; cat %s/fifo >%s/got &"):format(dir, dir, dir))
  vm:write_file("/tmp/f", noise)
  wait_until(function()
    return pcall(vm.pull_file, vm, "/tmp/f", dir .. "/fifo")
  end, { timeout = 50, desc = "a reader of the pipe" })
  wait_until(function() return read_host(dir .. "/got") == noise end,
    { timeout = 50, desc = "what was written" })
  vm:pull_file("/tmp/f", "/dev/null")
  t:assert_eq(names(dir), "fifo\ngot\n")
end)

test("a pull that fails leaves the host as it was", function(t)
  local dir = t:tmpdir()
  write_host(dir .. "/kept", "kept")
  vm:write_file("/tmp/f", noise)
  fails(t, "'/no/such': No such file or directory", function()
    vm:pull_file("/no/such", dir .. "/kept")
  end)
  fails(t, "No such file or directory", function()
    vm:pull_file("/tmp/f", dir .. "/absent/file")
  end)
  fails(t, "on the host: Is a directory", function()
    vm:pull_file("/tmp/f", dir)
  end)
  fails(t, "Is a directory", function() vm:pull_file("/tmp", "/dev/null") end)
  -- A task that is given up in the middle.
  provium.race(function()
    vm:pull_file("/dev/zero", dir .. "/kept")
  end, function()
    wait_until(function() return names(dir) ~= "kept\n" end,
      { timeout = 50, desc = "the file aside" })
  end)
  t:assert_eq(read_host(dir .. "/kept"), "kept")
  t:assert_eq(names(dir), "kept\n")
  t:assert(vm:run("true"):ok())
end)

test("a push that fails says which side it was", function(t)
  local dir = t:tmpdir()
  write_host(dir .. "/f", noise)
  fails(t, "cannot open '" .. dir .. "/no' on the host: No such file",
    function() vm:push_file(dir .. "/no", "/tmp/x") end)
  os.execute("mkfifo " .. dir .. "/fifo")
  fails(t, "on the host is no regular file and no directory", function()
    vm:push_file(dir .. "/fifo", "/tmp/x")
  end)
  fails(t, "'/no/dir/x': No such file or directory", function()
    vm:push_file(dir .. "/f", "/no/dir/x")
  end)
  fails(t, "No space left on device", function()
    vm:push_file(dir .. "/f", "/dev/full")
  end)
  write_host(dir .. "/empty", "")
  vm:push_file(dir .. "/empty", "/tmp/empty")
  t:assert_eq(vm:stat("/tmp/empty").size, 0)
end)

test("a guest that ends during a pull is named", function(t)
  local dir = t:tmpdir()
  local v = provium:vm("ends"):boot()
  local err
  provium.all(function()
    err = t:assert_raises(function()
      v:pull_file("/dev/zero", dir .. "/zero")
    end)
  end, function()
    wait_until(function() return names(dir) ~= "" end,
      { timeout = 50, desc = "the file aside" })
    v:close()
  end)
  t:assert_match(err, "transfer.test.lua:%d+: vm:pull_file: ")
  t:assert_eq(names(dir), "")
end)
