-- boot{files=}: what is there before init runs.
local MB = 1024 * 1024

local function octal(text)
  return tonumber(text, 8)
end

local function boot(t, files, opts)
  opts = opts or {}
  opts.files = files
  return provium:vm("f", opts):boot()
end

-- Each is a VM of its own: one that failed to boot is dead.
local function refused(t, text, files)
  local e = t:assert_raises(function()
    provium:lab():vm("r"):boot({ files = files })
  end)
  t:assert_match(e, "^[^\n]*boot_files.test.lua:%d+: vm:boot: ")
  t:assert_contains(e, text)
end

test("modes, bytes and parents are as given", function(t)
  local bytes = {}
  for i = 0, 255 do
    bytes[i + 1] = string.char(i)
  end
  local all = table.concat(bytes)
  local vm = boot(t, {
    { path = "/etc/all", content = all },
    { path = "/deep/er/and/deeper/x", content = "x", mode = octal("600") },
    { path = "/usr/local/bin/tool", content = "#!/bin/sh\necho ran\n",
      mode = octal("755") },
    { path = "/opt/setuid", content = "s", mode = octal("4711") },
    { path = "/opt/none", content = "n", mode = 0 },
    { path = "/opt/empty", content = "" },
    { path = "/tmp/in-tmp", content = "tmp" },
    { path = "/run/in-run", content = "run" },
    { path = "/opt/ünïcode and space", content = "u" },
  })
  t:assert_eq(vm:read_file("/etc/all"), all)
  t:assert_eq(vm:run({ "/usr/local/bin/tool" }).stdout, "ran\n")
  local perms = {}
  for _, path in ipairs({ "/etc/all", "/deep/er/and/deeper/x",
    "/opt/setuid", "/opt/none", "/opt/empty" }) do
    local s = vm:stat(path)
    t:assert_eq({ s.uid, s.gid, s.entry_type }, { 0, 0, "file" })
    perms[#perms + 1] = ("%o"):format(s.perm)
  end
  t:assert_eq(perms, { "644", "600", "4711", "0", "644" })
  t:assert_eq(vm:stat("/opt/empty").size, 0)
  t:assert_eq(vm:stat("/deep/er").perm, octal("755"))
  t:assert_eq(vm:stat("/tmp").perm, octal("1777"))
  t:assert_eq(vm:read_file("/tmp/in-tmp"), "tmp")
  t:assert_eq(vm:read_file("/run/in-run"), "run")
  t:assert_eq(vm:read_file("/opt/ünïcode and space"), "u")
end)

test("they override the image's, and of two the last counts", function(t)
  local vm = boot(t, {
    { path = "/etc/passwd", content = "first", mode = octal("600") },
    { path = "/etc/passwd", content = "last", mode = octal("640") },
  })
  t:assert_eq(vm:read_file("/etc/passwd"), "last")
  t:assert_eq(vm:stat("/etc/passwd").perm, octal("640"))
  -- The options of boot are over those of lab:vm.
  local v = provium:vm("w", {
    files = { { path = "/etc/x", content = "declared" } },
  })
  v:boot({ files = { { path = "/etc/x", content = "booted" } } })
  t:assert_eq(v:read_file("/etc/x"), "booted")
end)

test("two thousand files and 64 MiB are there at once", { timeout = 300 },
  function(t)
    local plain = os.time()
    local files = {}
    for i = 1, 2000 do
      files[i] = { path = ("/data/d%d/f%d"):format(i % 50, i),
        content = "content of " .. i }
    end
    local big = ("0123456789abcde"):rep(math.ceil(64 * MB / 15))
      :sub(1, 64 * MB)
    files[#files + 1] = { path = "/data/big", content = big }
    local vm = boot(t, files, { memory = "512M" })
    t:log(("booted with them within %d s"):format(os.time() - plain))
    t:assert_eq(vm:run("find /data -type f | wc -l").stdout, "2001\n")
    t:assert_eq(vm:read_file("/data/d7/f7"), "content of 7")
    t:assert_eq(vm:read_file("/data/d0/f2000"), "content of 2000")
    t:assert(vm:read_file("/data/big") == big, "the bytes differ")
  end)

-- The files of the default guest, with their times to the nanosecond.
local function guest_files()
  local p = assert(io.popen("dir=$(/proc/$PPID/exe guest path) && "
    .. "ls -li --time-style=full-iso $dir/*initrd*"))
  local list = p:read("*a")
  p:close()
  return list
end

test("the guest's initrd is not touched by them", function(t)
  local before = guest_files()
  t:assert_contains(before, "initrd")
  boot(t, { { path = "/etc/x", content = "y" } })
  t:assert_eq(guest_files(), before)
end)

test("paths and contents are checked", function(t)
  local function one(file)
    return { file }
  end
  refused(t, "files must be a table, got a string", "x")
  refused(t, "files must be a list without holes, it has the key 'path'",
    { path = "/x" })
  refused(t, "files[1] must be a table, got a string", one("x"))
  refused(t, "files[1]: path must be a string, got a number",
    one({ path = 5 }))
  refused(t, "files[2]: content must be a string, got a table",
    { { path = "/a", content = "" }, { path = "/x", content = {} } })
  refused(t, "files[1]: unknown option 'contents'; valid: path, content, mode",
    one({ path = "/x", contents = "" }))
  refused(t, "files[1] needs a path that begins with /",
    one({ path = "x", content = "" }))
  refused(t, "files[1] needs a path", one({ content = "" }))
  refused(t, "files[1] needs content", one({ path = "/x" }))
  refused(t, "files[1]: path holds a NUL byte",
    one({ path = "/x\0y", content = "" }))
  refused(t, "files[1].mode must be permission bits",
    one({ path = "/x", content = "", mode = 65536 }))
  refused(t, "file '/a/../b' for the guest: the path must be absolute",
    one({ path = "/a/../b", content = "" }))
  refused(t, "the path must be absolute", one({ path = "/", content = "" }))
  refused(t, "the path must be absolute", one({ path = "/a/", content = "" }))
  refused(t, "is the agent's own",
    one({ path = "/.provium/agent", content = "" }))
  refused(t, "file '/a' for the guest is a directory to '/a/b'",
    { { path = "/a/b", content = "" }, { path = "/a", content = "" } })
  local many = {}
  for i = 1, 65537 do
    many[i] = { path = "/x", content = "" }
  end
  refused(t, "files are 65537, 65536 at the most", many)
end)
