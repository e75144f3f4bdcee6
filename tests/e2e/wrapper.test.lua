-- QEMU is the grandchild of a script that does not exec it.
local ffi = require("ffi")
local host_file = require("host_file")

ffi.cdef("int setenv(const char *name, const char *value, int overwrite);")

local path = host_file.write(os.tmpname(), [[#!/bin/sh
timeout 1000 "${REAL_QEMU:-qemu-system-x86_64}" "$@"
]])
assert(os.execute("chmod 755 " .. path) == 0)
ffi.C.setenv("REAL_QEMU", os.getenv("PROVIUM_QEMU") or "qemu-system-x86_64", 1)
ffi.C.setenv("PROVIUM_QEMU", path, 1)

local function command_of(pid)
  local f = assert(io.open("/proc/" .. pid .. "/cmdline", "rb"))
  local name = f:read("*a"):match("^[^%z]*")
  f:close()
  return name
end

test("vm:pid() is QEMU's", function(t)
  local vm = provium:vm("a"):boot()
  os.remove(path)
  t:assert_eq(command_of(vm:pid()), os.getenv("REAL_QEMU"))
end)
