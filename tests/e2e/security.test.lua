-- What docs/security.md promises of a VM's process and files, looked at from the
-- host while it runs.
local vm = provium:vm("watched"):boot()
local dir = vm:console_socket_path():match("^(.*)/")

local function read(path)
  local f = assert(io.open(path))
  local s = f:read("*a")
  f:close()
  return s
end

local function lines_of(command)
  local f = assert(io.popen(command))
  local found = {}
  for line in f:lines() do
    found[#found + 1] = line
  end
  f:close()
  return found
end

test("what it leaves on the host is its user's alone", function(t)
  -- The run's directory, the worker's, the VM's; then all that is in it.
  local all = lines_of(("stat -c '%%a %%F %%n' '%s' '%s/..' '%s/../..' '%s'/*")
    :format(dir, dir, dir, dir))
  t:assert(#all > 4, #all)
  for _, line in ipairs(all) do
    local mode, kind = line:match("^(%d+) (%l+)")
    if kind == "socket" then
      -- Who may not enter the directory cannot connect, whatever this says.
      t:assert(mode:match("^%d%d%d$"), line)
    else
      t:assert_match(mode, "^[67]00$", line)
    end
  end
end)

test("QEMU has what it needs, and a sandbox", function(t)
  local words = (" " .. read(("/proc/%d/cmdline"):format(vm:pid())))
    :gsub("%z", " ")
  for _, want in ipairs({
    " -nodefaults ", " -no-user-config ", " -display none ",
    " -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
      .. "resourcecontrol=deny ",
  }) do
    t:assert_contains(words, want)
  end
  -- Nothing that listens, or that others on the machine could reach.
  for _, bad in ipairs({ "server", "tcp:", "vnc", "hostfwd" }) do
    t:assert(not words:find(bad, 1, true), bad)
  end
  -- The console's pipe has a name while QEMU starts, in a private directory.
  local paths = 0
  for path in words:gmatch("path=([^, ]+)") do
    paths = paths + 1
    local dir = path:match("^(.*)/")
    t:assert_eq(lines_of("stat -c %a " .. dir), { "700" })
    t:assert_eq(lines_of("find " .. dir .. " -path '" .. path .. "*'"), {})
  end
  t:assert_eq(paths, 1)
  t:assert_match(read(("/proc/%d/status"):format(vm:pid())), "Seccomp:%s+2")
end)

test("QEMU is the user's, and holds no descriptor of the worker's", function(t)
  local function ids(pid)
    return read(("/proc/%s/status"):format(pid)):match("Uid:[^\n]+")
  end
  t:assert_eq(ids(vm:pid()), ids("self"))
  -- Other VMs' sockets would be there if they were inherited.
  local other = provium:vm("other"):boot()
  local function sockets(pid)
    local found = {}
    for _, link in ipairs(lines_of(
      ("find /proc/%d/fd -lname 'socket:*' -printf '%%l\\n'"):format(pid))) do
      found[link] = true
    end
    return found
  end
  local mine = sockets(vm:pid())
  for link in pairs(sockets(other:pid())) do
    t:assert(not mine[link], link)
  end
end)

test("a guest's name for things is no path of the host's", function(t)
  local where = t:tmpdir()
  vm:run("echo x > '/tmp/$(touch owned)'; echo y > '/tmp/; touch owned'")
  for _, name in ipairs(vm:listdir("/tmp")) do
    t:assert(not name:find("/", 1, true), name)
    vm:pull_file("/tmp/" .. name, where .. "/" .. name)
  end
  t:assert_eq(read(where .. "/$(touch owned)"), "x\n")
  t:assert_eq(#lines_of("find '" .. where .. "' -name owned"), 0)
end)

test("a symbolic link in the guest is the guest's", function(t)
  vm:run("ln -s /proc/version /tmp/link", { check = true })
  local path = t:tmpdir() .. "/version"
  vm:pull_file("/tmp/link", path)
  t:assert_eq(read(path), vm:read_file("/proc/version"))
end)
