-- Files of the guest by path.
local vm = provium:vm("files"):boot()

local function fails(t, text, fn)
  t:assert_contains(t:assert_raises(fn), text)
end

test("what is written is read back", function(t)
  local data = "\0\1\255 text\r\n"
  vm:write_file("/tmp/a", data)
  t:assert_eq(vm:read_file("/tmp/a"), data)
  vm:write_file("/tmp/a", "")
  t:assert_eq(vm:read_file("/tmp/a"), "")
end)

test("megabytes pass whole", function(t)
  local piece = {}
  for i = 0, 255 do
    piece[#piece + 1] = string.char(i)
  end
  local data = table.concat(piece):rep(16 * 1024)
  vm:write_file("/tmp/big", data)
  t:assert_eq(vm:stat("/tmp/big").size, #data)
  t:assert(vm:read_file("/tmp/big") == data, "the bytes differ")
  vm:unlink("/tmp/big")
end)

test("files without a size are read to their end", function(t)
  t:assert_contains(vm:read_file("/proc/version"), "Linux")
end)

test("modes are set and kept", function(t)
  vm:write_file("/tmp/m", "x")
  t:assert_eq(vm:stat("/tmp/m").perm, tonumber("644", 8))
  vm:write_file("/tmp/m", "y", { mode = tonumber("4711", 8) })
  t:assert_eq(vm:stat("/tmp/m").perm, tonumber("4711", 8))
  vm:write_file("/tmp/m", "z")
  t:assert_eq(vm:stat("/tmp/m").perm % 512, tonumber("711", 8))
  vm:unlink("/tmp/m")
end)

test("stat tells size, times, owner and type", function(t)
  vm:run("cd /tmp; printf abc >s; touch -d @1000000000 s; "
    .. "ln -sf s l; mkfifo p; mkdir d"):assert_ok()
  local s = vm:stat("/tmp/s")
  t:assert_eq(s.size, 3)
  t:assert_eq(s.mtime, 1000000000)
  t:assert(s.mtime_ns == 1000000000000000000LL)
  t:assert_eq({ s.uid, s.gid, s.nlink }, { 0, 0, 1 })
  local types = {}
  for _, p in ipairs({ "/tmp/s", "/tmp/l", "/tmp/p", "/tmp/d",
    "/dev/null" }) do
    types[#types + 1] = vm:stat(p).entry_type
  end
  t:assert_eq(types,
    { "file", "symlink", "fifo", "directory", "char_device" })
end)

test("directories are made, listed and removed", function(t)
  vm:mkdir("/tmp/x/y/z", { parents = true })
  vm:mkdir("/tmp/x/a", { perm = tonumber("700", 8) })
  t:assert_eq(vm:stat("/tmp/x/a").perm, tonumber("700", 8))
  vm:write_file("/tmp/x/b", "")
  t:assert_eq(vm:listdir("/tmp/x"), { "a", "b", "y" })
  t:assert_eq(vm:listdir("/tmp/x/a"), {})
  vm:rename("/tmp/x/b", "/tmp/x/c")
  t:assert_eq(vm:listdir("/tmp/x"), { "a", "c", "y" })
  vm:unlink("/tmp/x/c")
  vm:unlink("/tmp/x/a")
  t:assert_eq(vm:listdir("/tmp/x"), { "y" })
end)

test("errors carry the guest's words and the path", function(t)
  fails(t, "No such file or directory", function()
    vm:read_file("/tmp/nothing")
  end)
  fails(t, "/tmp/nothing", function() vm:stat("/tmp/nothing") end)
  fails(t, "File exists", function() vm:mkdir("/tmp") end)
  fails(t, "vm:listdir: ", function() vm:listdir("/dev/null") end)
  fails(t, "Is a directory", function() vm:read_file("/tmp") end)
  fails(t, "No such file or directory", function()
    vm:write_file("/no/such/dir/f", ("x"):rep(1000000))
  end)
  t:assert_match(t:assert_raises(function() vm:unlink("/nope") end),
    "files.test.lua:%d+: vm:unlink: ")
end)

test("misuse is refused", function(t)
  fails(t, "vm:read_file: path is empty", function() vm:read_file("") end)
  fails(t, "path holds a NUL byte", function() vm:stat("a\0b") end)
  fails(t, "data must be a string, got nothing", function()
    vm:write_file("/tmp/a")
  end)
  fails(t, "unknown option 'perms'; valid: mode", function()
    vm:write_file("/tmp/a", "", { perms = 1 })
  end)
  fails(t, "must be permission bits", function()
    vm:write_file("/tmp/a", "", { mode = 99999 })
  end)
end)

test("host files are pushed and pulled, relative to this file", function(t)
  vm:push_file("files.test.lua", "/tmp/self")
  t:assert_contains(vm:read_file("/tmp/self"), "relative to this file")
  local path = t:tmpdir() .. "/file"
  vm:write_file("/tmp/q", "pulled\0")
  vm:pull_file("/tmp/q", path)
  local f = assert(io.open(path, "rb"))
  t:assert_eq(f:read("*a"), "pulled\0")
  f:close()
  fails(t, "on the host", function() vm:push_file("/no/such", "/tmp/n") end)
end)

test("a pushed program stays executable", function(t)
  local path = t:tmpdir() .. "/file"
  local f = assert(io.open(path, "w"))
  f:write("#!/bin/sh\necho ran\n")
  f:close()
  os.execute("chmod 755 " .. path)
  vm:push_file(path, "/tmp/prog")
  t:assert_eq(vm:run({ "/tmp/prog" }).stdout, "ran\n")
  vm:push_file(path, "/tmp/prog2", { mode = tonumber("600", 8) })
  t:assert_eq(vm:stat("/tmp/prog2").perm, tonumber("600", 8))
end)

test("each failure has the errno's words and every path", function(t)
  vm:run("rm -rf /tmp/e; mkdir -p /tmp/e/m /tmp/e/full/x; cd /tmp/e; "
    .. "mount -t tmpfs none m; echo x > m/f; echo y > g; ln -s loop loop; "
    .. "ln -s nowhere dangling", { check = true })
  local function refused(text, method, ...)
    local args = { ... }
    local err = t:assert_raises(function() vm[method](vm, unpack(args)) end)
    t:assert_match(err, "^tests/e2e/files.test.lua:%d+: vm:" .. method .. ": ")
    t:assert_contains(err, text)
  end
  refused("'/tmp/e/m/f' to '/tmp/e/f': Invalid cross-device link", "rename",
    "/tmp/e/m/f", "/tmp/e/f")
  refused("'/tmp/e/no' to '/tmp/e/f': No such file or directory", "rename",
    "/tmp/e/no", "/tmp/e/f")
  refused("'/tmp/e/full' to '/tmp/e/g': Not a directory", "rename",
    "/tmp/e/full", "/tmp/e/g")
  refused("'/tmp/e/full': Directory not empty", "unlink", "/tmp/e/full")
  refused("'/tmp/e/m': Device or resource busy", "unlink", "/tmp/e/m")
  refused("'/tmp/e/g/x': Not a directory", "unlink", "/tmp/e/g/x")
  refused("'/tmp/e': Is a directory", "write_file", "/tmp/e", "x")
  refused("'/tmp/e': Is a directory", "push_file", "files.test.lua", "/tmp/e")
  refused("'/no/f': No such file or directory", "push_file", "files.test.lua",
    "/no/f")
  refused("'/tmp/e/loop': Too many levels of symbolic links", "read_file",
    "/tmp/e/loop")
  refused("'/tmp/e/dangling': No such file or directory", "read_file",
    "/tmp/e/dangling")
  refused("'/dev/full': No space left on device", "write_file", "/dev/full",
    "x")
  refused("'/proc/sys/kernel/pid_max': Invalid argument", "write_file",
    "/proc/sys/kernel/pid_max", "none")
  refused("'/tmp/e/a/b': No such file or directory", "mkdir", "/tmp/e/a/b")
  refused("'/tmp/e/g': File exists", "mkdir", "/tmp/e/g", { parents = true })
  refused("'/tmp/e/g/a': Not a directory", "mkdir", "/tmp/e/g/a",
    { parents = true })
  refused("'/tmp/e/no': No such file or directory", "listdir", "/tmp/e/no")
  refused("File name too long", "stat", ("n"):rep(300))
  refused("File name too long", "stat", ("d/"):rep(5000))
  t:assert_eq(vm:listdir("/tmp/e"),
    { "dangling", "full", "g", "loop", "m" })
end)

test("links are followed, but for stat, unlink and rename", function(t)
  vm:run("rm -rf /tmp/k; mkdir /tmp/k; cd /tmp/k; mkdir d; echo x > d/f; "
    .. "ln -s d/f l; ln -s d dl; ln -s new n", { check = true })
  t:assert_eq(vm:read_file("/tmp/k/l"), "x\n")
  vm:write_file("/tmp/k/l", "y")
  vm:write_file("/tmp/k/n", "through")
  t:assert_eq({ vm:read_file("/tmp/k/d/f"), vm:read_file("/tmp/k/new") },
    { "y", "through" })
  t:assert_eq(vm:listdir("/tmp/k/dl"), { "f" })
  vm:mkdir("/tmp/k/dl/in/it", { parents = true })
  t:assert_eq(vm:stat("/tmp/k/d/in/it").entry_type, "directory")
  t:assert_eq(vm:stat("/tmp/k/dl").entry_type, "symlink")
  vm:rename("/tmp/k/l", "/tmp/k/moved")
  t:assert_eq(vm:stat("/tmp/k/moved").entry_type, "symlink")
  vm:unlink("/tmp/k/moved")
  vm:unlink("/tmp/k/dl")
  t:assert_eq(vm:read_file("/tmp/k/d/f"), "y")
end)

test("kernel files of any length are read whole", function(t)
  t:assert_eq(vm:stat("/proc/kallsyms").size, 0)
  local n = tonumber(vm:run("wc -c < /proc/kallsyms").stdout)
  t:assert_eq(#vm:read_file("/proc/kallsyms"), n)
  t:assert(n > 1000000, n)
  vm:write_file("/proc/sys/kernel/hostname", "named\n")
  t:assert_eq(vm:read_file("/proc/sys/kernel/hostname"), "named\n")
end)

test("directories keep what they were given", function(t)
  vm:mkdir("/tmp/dirs/a/b", { parents = true, perm = tonumber("700", 8) })
  t:assert_eq({ vm:stat("/tmp/dirs").perm, vm:stat("/tmp/dirs/a/b").perm },
    { tonumber("755", 8), tonumber("700", 8) })
  -- One that is there stays as it is.
  vm:mkdir("/tmp/dirs/a/b", { parents = true })
  t:assert_eq(vm:stat("/tmp/dirs/a/b").perm, tonumber("700", 8))
  vm:mkdir("/tmp/dirs/sticky/", { perm = tonumber("1777", 8) })
  t:assert_eq(vm:stat("/tmp/dirs/sticky").perm, tonumber("1777", 8))
end)

test("names are bytes, sorted as bytes", function(t)
  vm:mkdir("/tmp/names")
  local names = { " ", "A", "a", "a\nb", "b", "\195\164", "\255" }
  for i = #names, 1, -1 do
    vm:write_file("/tmp/names/" .. names[i], "")
  end
  t:assert_eq(vm:listdir("/tmp/names"), names)
  local s = vm:stat("/tmp/names/\255")
  s.mine = true
  t:assert(s.mine)
end)
