-- SOAK_RESTORES restores, several VMs at a time, from two snapshots, and now
-- and then from one that was taken of a restored guest. Each guest is what it
-- was when it was kept, but for its random numbers.
local soak = require("soak")
local RESTORES = soak.number("SOAK_RESTORES", 200)
local AT_ONCE = 4
local DEEPER_EACH = 25 -- a snapshot of a restored guest, in so many
local RENEW_EACH = 10  -- rounds, after which the VMs are made anew
provium.timeout = RESTORES * 30 + 600

-- A guest, what it has in memory, and a snapshot of both.
local function base_of(name)
  local vm = provium:vm(name, { memory = "128M" })
  vm:boot({ agent_timeout = 300 })
  vm:run("dd if=/dev/urandom of=/tmp/noise bs=64k count=16", { check = true })
  vm:write_file("/tmp/mark", name)
  local base = { mark = name, sum = vm:run("md5sum </tmp/noise").stdout }
  base.snapshot = vm:snapshot()
  vm:close()
  return base
end

local seen = {}

-- Leaves the guest another one than it was.
local function check(t, vm, base)
  local out = vm:run("cat /proc/sys/kernel/random/uuid /tmp/mark; echo; "
    .. "md5sum </tmp/noise; echo dirty >/tmp/mark; rm /tmp/noise",
    { check = true }).stdout
  local uuid, rest = out:match("^(%S+)\n(.*)$")
  t:assert(uuid and not seen[uuid], "random bytes came twice: " .. out)
  seen[uuid] = true
  t:assert_eq(rest, base.mark .. "\n" .. base.sum)
end

-- A guest that was restored and has changed, kept and found again.
local function deeper(t, vm, base)
  local mark = "deeper " .. soak.pick(1e9)
  vm:write_file("/tmp/mark", mark)
  vm:run("dd if=/dev/urandom of=/tmp/noise bs=64k count=8", { check = true })
  local sum = vm:run("md5sum </tmp/noise").stdout
  local s = vm:snapshot()
  check(t, vm, { mark = mark, sum = sum })
  vm:restore(s, { agent_timeout = 300 })
  s:delete()
  check(t, vm, { mark = mark, sum = sum })
  return base
end

test("one restore after the other", function(t)
  local bases = { base_of("one"), base_of("two") }
  local vms, n, round = {}, 0, 0
  while n < RESTORES do
    local tasks = {}
    for i = 1, math.min(AT_ONCE, RESTORES - n) do
      vms[i] = vms[i] or provium:vm("r" .. i)
      local vm, base = vms[i], bases[soak.pick(#bases)]
      local is_deeper = soak.pick(DEEPER_EACH) == 1
      tasks[i] = function()
        vm:restore(base.snapshot, { agent_timeout = 300 })
        check(t, vm, base)
        if is_deeper then deeper(t, vm, base) end
      end
    end
    provium.all(unpack(tasks))
    n, round = n + #tasks, round + 1
    if round % RENEW_EACH == 0 then
      for _, vm in ipairs(vms) do vm:close() end
      vms = {}
    end
    soak.round(n)
  end
end)
