-- Which program the guest's shell runs for a command's name.
local IP = {path = "/usr/local/bin/ip", mode = 493, content =
  "#!/bin/sh\necho the real one\n"}

local function file_of_host(path)
  local f = assert(io.open(path, "rb"))
  local content = f:read("*a")
  f:close()
  return {path = path, mode = 493, content = content}
end

-- dash, and the libraries that it names.
local function dash()
  local files = {file_of_host("/bin/dash")}
  files[1].path = "/bin/sh"
  local ldd = io.popen("ldd /bin/dash")
  for path in ldd:read("*a"):gmatch("(/%S+)") do
    files[#files + 1] = file_of_host(path)
  end
  ldd:close()
  return files
end

test("the default guest's shell runs its own commands, not those of PATH", function(t)
  local vm = provium:vm("own"):boot({files = {IP}})
  t:assert_contains(vm:run("ip -V 2>&1").stdout, "BusyBox")
  t:assert_contains(vm:run("command ip -V 2>&1").stdout, "BusyBox")
  t:assert_eq(vm:run({"ip", "-V"}).stdout, "the real one\n")
  t:assert_eq(vm:run("ip", {"-V"}).stdout, "the real one\n")
  t:assert_eq(vm:run("/usr/local/bin/ip -V").stdout, "the real one\n")
  t:assert_eq(vm:run("$(which ip) -V").stdout, "the real one\n")
end)

test("another shell as /bin/sh runs those of PATH", function(t)
  local files = dash()
  files[#files + 1] = IP
  -- The default guest configures the NIC by busybox all the same.
  local vm = provium:vm("other")
  provium:bridge("lan"):attach(vm)
  vm:boot({files = files})
  t:assert_eq(vm:run("ip -V").stdout, "the real one\n")
  t:assert_eq(vm:run({"ip", "-V"}).stdout, "the real one\n")
  t:assert_contains(vm:run("ls --help 2>&1").stdout, "BusyBox")
end)
