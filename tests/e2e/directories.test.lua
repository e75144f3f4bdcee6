-- Directories between host and guest: everything below them, or nothing at all.
local vm = provium:vm("directories", { memory = "640M" }):boot()

local function output(command)
  local p = assert(io.popen(command))
  local text = p:read("*a")
  p:close()
  return text
end

local write_host = require("host_file").write

-- Names, kinds, modes, sizes and links of everything in a directory.
local function listing(dir)
  return output("cd '" .. dir .. "' && find . -printf '%P|%y|%m|%l|' "
    .. "\\( -type f -printf '%s' -o -true \\) -printf '\\n' | sort")
end

local function names(dir)
  return output("ls -A '" .. dir .. "'")
end

local function guest_names(dir)
  return vm:run({ "ls", "-A", dir }).stdout
end

local function fails(t, text, fn)
  local e = t:assert_raises(fn)
  t:assert_match(e, "^[^\n]*directories.test.lua:%d+: vm:pu[ls][lh]_file: ")
  t:assert_contains(e, text)
end

test("a directory goes there and back as it was", function(t)
  local dir = t:tmpdir()
  os.execute("cd " .. dir .. [[ && mkdir -p from/a/b/c from/empty && cd from &&
    printf 'a\0b' >a/zero && : >a/none && echo '#!/bin/sh' >a/b/program &&
    head -c 3000000 /dev/urandom >a/b/c/large && chmod 4755 a/b/program &&
    echo x >'a/with space' && echo x >"$(printf 'a/with\nnewline')" &&
    echo x >"$(printf 'a/\377\376')" && echo x >a/-dash && echo x >.hidden &&
    echo x >secret && chmod 000 secret && chmod 2750 a && chmod 1777 empty &&
    mkdir locked && echo x >locked/x && chmod 500 locked &&
    ln -s /no/where dangling && ln -s a link-to-dir && ln -s ../../x up &&
    truncate -s 1G holes && echo end >>holes && chmod 751 .]])
  vm:push_file(dir .. "/from", "/tmp/copy")
  t:assert_eq(vm:run([[cd /tmp/copy && stat -c '%a %F %n' . a a/b/program empty \
    locked dangling secret && readlink up && cat a/-dash && wc -c <a/zero]])
    .stdout, [[
751 directory .
2750 directory a
4755 regular file a/b/program
1777 directory empty
500 directory locked
777 symbolic link dangling
0 regular file secret
../../x
x
3
]])
  t:assert(tonumber(vm:run("du -k /tmp/copy/holes | cut -f1").stdout) < 100)
  vm:pull_file("/tmp/copy", dir .. "/back")
  t:assert_eq(listing(dir .. "/back"), listing(dir .. "/from"))
  t:assert_eq(output("cd " .. dir .. " && diff -r --no-dereference from back"),
    "")
  t:assert(tonumber(output("du -k " .. dir .. "/back/holes | cut -f1")) < 100)
  t:assert_eq(names(dir), "back\nfrom\n")
  t:assert_eq(guest_names("/tmp"), "copy\n")
  vm:run("rm -r /tmp/copy", { check = true })
end)

-- Each would take a round trip or more if it were sent alone.
test("ten thousand small files pass at once", { timeout = 300 }, function(t)
  local dir = t:tmpdir()
  os.execute("cd " .. dir .. [[ && mkdir many && cd many &&
    for i in $(seq 100); do mkdir $i && cd $i &&
      for j in $(seq 100); do echo $i $j >$j; done; cd ..; done]])
  vm:push_file(dir .. "/many", "/tmp/many")
  vm:pull_file("/tmp/many", dir .. "/back")
  t:assert_eq(output("cd " .. dir .. " && diff -r many back"), "")
  t:assert_eq(vm:run("find /tmp/many -type f | wc -l").stdout, "10000\n")
  vm:run("rm -r /tmp/many", { check = true })
end)

test("a symbolic link that is given as a path is followed", function(t)
  local dir = t:tmpdir()
  os.execute("cd " .. dir .. " && mkdir from && echo x >from/f && "
    .. "ln -s from link && mkdir to && ln -s to link-to")
  vm:push_file(dir .. "/link", "/tmp/of-link")
  t:assert_eq(guest_names("/tmp/of-link"), "f\n")
  vm:run("ln -s /tmp/of-link /tmp/link", { check = true })
  vm:pull_file("/tmp/link/", dir .. "/link-to")
  t:assert_eq(names(dir .. "/to"), "f\n")
  t:assert_eq(output("readlink " .. dir .. "/link-to"), "to\n")
  vm:run("rm -r /tmp/link /tmp/of-link", { check = true })
end)

test("a directory is copied to a new path or an empty directory", function(t)
  local dir = t:tmpdir()
  os.execute("cd " .. dir .. " && mkdir from full empty && echo new >from/f && "
    .. "echo old >full/f && echo old >file")
  vm:run("mkdir /tmp/full /tmp/empty; echo old >/tmp/full/f; echo old >/tmp/file",
    { check = true })
  for _, case in ipairs({
    { "/tmp/full", "'/tmp/full' is not empty: a directory is copied to a new" },
    { "/tmp/file", "cannot create '/tmp/file': Not a directory" },
    { "/no/such", "cannot create '/no/such': No such file or directory" },
    { "/proc", "'/proc' is a mount point: " },
    { "/", "cannot create '/': File exists" },
  }) do
    fails(t, case[2], function() vm:push_file(dir .. "/from", case[1]) end)
  end
  t:assert_eq(vm:run("cat /tmp/full/f /tmp/file").stdout, "old\nold\n")
  vm:push_file(dir .. "/from", "/tmp/empty")
  t:assert_eq(vm:read_file("/tmp/empty/f"), "new\n")
  t:assert_eq(guest_names("/tmp"), "empty\nfile\nfull\n")

  fails(t, dir .. "/full' on the host is not empty: ", function()
    vm:pull_file("/tmp/empty", dir .. "/full")
  end)
  fails(t, dir .. "/file' on the host: Not a directory", function()
    vm:pull_file("/tmp/empty", dir .. "/file")
  end)
  fails(t, dir .. "/no/such' on the host: No such file", function()
    vm:pull_file("/tmp/empty", dir .. "/no/such")
  end)
  -- Nor does a file replace a directory.
  fails(t, "on the host: Is a directory", function()
    vm:pull_file("/tmp/file", dir .. "/empty")
  end)
  vm:pull_file("/tmp/empty", dir .. "/empty")
  t:assert_eq(output("cd " .. dir .. " && cat full/f empty/f file"),
    "old\nnew\nold\n")
  t:assert_eq(names(dir), "empty\nfile\nfrom\nfull\n")
  fails(t, "mode is of a file", function()
    vm:push_file(dir .. "/from", "/tmp/x", { mode = 420 })
  end)
  vm:run("rm -r /tmp/*", { check = true })
end)

test("what is no file, directory or link is named, and all is left out",
  function(t)
    local dir = t:tmpdir()
    os.execute("cd " .. dir .. " && mkdir -p from/b && echo x >from/a && "
      .. "mkfifo from/b/pipe")
    fails(t, dir .. "/from/b/pipe' on the host is a FIFO: ", function()
      vm:push_file(dir .. "/from", "/tmp/x")
    end)
    t:assert_eq(guest_names("/tmp"), "")
    vm:run("mkdir -p /tmp/x/b && echo x >/tmp/x/a && mknod /tmp/x/b/null c 1 3",
      { check = true })
    fails(t, "'/tmp/x/b/null' is a device: ", function()
      vm:pull_file("/tmp/x", dir .. "/x")
    end)
    t:assert_eq(names(dir), "from\n")
    vm:run("rm -r /tmp/x", { check = true })
  end)

test("a copy that is given up in the middle leaves nothing", { timeout = 300 },
  function(t)
    local dir = t:tmpdir()
    os.execute("cd " .. dir .. " && mkdir from && echo x >from/a && "
      .. "head -c 256M /dev/zero >from/b")
    provium.race(function()
      vm:push_file(dir .. "/from", "/tmp/x")
    end, function()
      wait_until(function() return guest_names("/tmp") ~= "" end,
        { timeout = 100, interval = 0, desc = "the directory aside" })
      t:assert_match(guest_names("/tmp"), "^%.provium%-")
    end)
    t:assert_eq(guest_names("/tmp"), "")

    vm:run("mkdir /tmp/x && head -c 64m /dev/zero >/tmp/x/f",
      { check = true })
    local to = t:tmpdir()
    provium.race(function()
      vm:pull_file("/tmp/x", to .. "/x")
    end, function()
      wait_until(function() return names(to) ~= "" end,
        { timeout = 100, interval = 0, desc = "the directory aside" })
      t:assert_match(names(to), "^%.provium%-")
    end)
    t:assert_eq(names(to), "")
    t:assert(vm:run("rm -r /tmp/x"):ok())
  end)

test("a disk of the guest that is full is named, and nothing is left",
  function(t)
    local dir = t:tmpdir()
    vm:run("mkdir /tmp/small && mount -t tmpfs -o size=1M none /tmp/small",
      { check = true })
    os.execute("cd " .. dir .. " && mkdir from && echo x >from/a && "
      .. "head -c 2000000 /dev/zero >from/b")
    fails(t, "cannot write '/tmp/small/x/b': No space left on device",
      function() vm:push_file(dir .. "/from", "/tmp/small/x") end)
    t:assert_eq(guest_names("/tmp/small"), "")
    fails(t, "'/tmp/small' is a mount point", function()
      vm:push_file(dir .. "/from", "/tmp/small")
    end)
    vm:run("umount /tmp/small && rmdir /tmp/small", { check = true })
  end)

test("a guest that ends during a pull leaves nothing", { timeout = 200 },
  function(t)
    local dir = t:tmpdir()
    local v = provium:vm("ends", { memory = "640M" }):boot()
    v:run("mkdir /tmp/x && head -c 64m /dev/zero >/tmp/x/f",
      { check = true })
    local err
    provium.all(function()
      err = t:assert_raises(function()
        v:pull_file("/tmp/x", dir .. "/x")
      end)
    end, function()
      wait_until(function() return names(dir) ~= "" end,
        { timeout = 50, interval = 0, desc = "the directory aside" })
      v:close()
    end)
    t:assert_match(err, "directories.test.lua:%d+: vm:pull_file: ")
    t:assert_eq(names(dir), "")
  end)

test("a batch copies directories", function(t)
  local dir = t:tmpdir()
  os.execute("cd " .. dir .. " && mkdir from && echo x >from/a")
  local r = vm:batch(function(b)
    b:push_file(dir .. "/from", "/tmp/batch")
    b:push_file(dir .. "/from", "/no/such")
    b:pull_file("/etc", dir .. "/etc")
  end)
  t:assert_eq(r[1], { ok = true })
  t:assert_contains(r[2].err, "cannot create '/no/such': No such file")
  t:assert_eq(r[3], { ok = true })
  t:assert_eq(vm:read_file("/tmp/batch/a"), "x\n")
  t:assert_eq(output("ls " .. dir .. "/etc"), guest_names("/etc"))
  vm:run("rm -r /tmp/batch", { check = true })
end)
