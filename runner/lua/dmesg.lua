-- vm:dmesg(): the guest's kernel log. core is what C provides:
--   check(vm)    raises unless it is open
--   fail(text)   raises "file:line: vm:dmesg: text"
local methods, core = ...

local SYS_MMAP, SYS_MUNMAP, SYS_SYSLOG = 9, 11, 103
local READ_WRITE, PRIVATE_ANONYMOUS = 3, 0x22
local READ_ALL, SIZE_BUFFER = 3, 10 -- of syslog(2)
local PIECE = 16 * 1024 * 1024 -- of what is read of memory at once

local function call(vm, ...)
  local r = vm:syscall(...)
  if r.errno ~= 0 then
    core.fail(("the guest refused: errno %d"):format(r.errno))
  end
  return r.result
end

-- A kernel's buffer may be larger than what a call takes along: its text goes
-- into memory of the agent, and is read from there.
local function read_into(vm, address, size)
  local n, out = tonumber(call(vm, SYS_SYSLOG, READ_ALL, address, size)), {}
  for from = 0, n - 1, PIECE do
    out[#out + 1] = vm:read_mem(address + from, math.min(PIECE, n - from))
  end
  return table.concat(out)
end

function methods.dmesg(vm)
  core.check(vm)
  -- What is printed before each line is not in the kernel's buffer.
  local size = 2 * tonumber(call(vm, SYS_SYSLOG, SIZE_BUFFER, 0, 0))
  local address = call(vm, SYS_MMAP, 0, size, READ_WRITE, PRIVATE_ANONYMOUS,
    -1, 0)
  local ok, text = pcall(read_into, vm, address, size)
  call(vm, SYS_MUNMAP, address, size)
  if not ok then
    error(text, 0)
  end
  return (("\n" .. text):gsub("\n<%d+>", "\n"):sub(2))
end
