-- vm:dmesg(): the guest's kernel log. core is what C provides:
--   check(vm)    raises unless it is open
--   fail(text)   raises "file:line: vm:dmesg: text"
local methods, core = ...

-- syslog(2): the actions READ_ALL and SIZE_BUFFER.
local SYS_SYSLOG, READ_ALL, SIZE_BUFFER = 103, 3, 10

local function check(r)
  if r.errno ~= 0 then
    core.fail(("the guest refused: errno %d"):format(r.errno))
  end
  return r
end

function methods.dmesg(vm)
  core.check(vm)
  -- What is printed before each line is not in the kernel's buffer.
  local size = 2 * tonumber(check(vm:syscall(SYS_SYSLOG, SIZE_BUFFER, 0,
    0)).result)
  local r = check(vm:syscall(SYS_SYSLOG, {
    args = { READ_ALL, 0, size }, bufs = { ("\0"):rep(size) }, ptrs = { 1 },
  }))
  local text = r.out_bufs[1]:sub(1, tonumber(r.result))
  return (("\n" .. text):gsub("\n<%d+>", "\n"):sub(2))
end
