-- Many guests for a long time: SOAK_VMS at once, for SOAK_MINUTES, each round a
-- choice by SOAK_SEED of boots, resets, streams, transfers and partitions. One
-- test, so that what grows shows: it prints a line a round for soak.py.
local MINUTES = tonumber(os.getenv("SOAK_MINUTES") or "1")
local VMS = tonumber(os.getenv("SOAK_VMS") or "8")
provium.timeout = MINUTES * 60 + 600

local seed = tonumber(os.getenv("SOAK_SEED") or "1")
local function pick(n)
  seed = (seed * 16807) % 2147483647
  return seed % n + 1
end

local function now()
  local f = assert(io.open("/proc/uptime"))
  local s = f:read("*a"):match("^[%d.]+")
  f:close()
  return tonumber(s)
end

local function figures()
  collectgarbage()
  local f = assert(io.open("/proc/self/status"))
  local rss = f:read("*a"):match("VmRSS:%s+(%d+)")
  f:close()
  local n = 0
  for fd = 0, 4095 do
    local d = io.open("/proc/self/fdinfo/" .. fd)
    if d then
      n = n + 1
      d:close()
    end
  end
  return tonumber(rss), n - 1 -- its own look is one of them
end

local lan = provium:bridge("lan")
local vms = {}
for i = 1, VMS do
  vms[i] = provium:vm("v" .. i, { memory = "96M" })
end
lan:attach(vms)

local function stream(t, vm)
  local n = pick(200000)
  local p = vm:run_async("seq 1 " .. n)
  p:stdout_stream():expect("\n" .. n .. "\n", 120)
  t:assert_eq(p:wait(60).exit_code, 0)
  p:close()
end

local function transfer(t, vm)
  local data = ("%09d"):format(pick(1e9)):rep(pick(100000))
  vm:write_file("/tmp/x", data)
  t:assert(vm:read_file("/tmp/x") == data, "the file changed")
end

local function part(t, vm, other)
  local to = other:nic("lan"):ip()
  lan:partition(vm, other)
  t:assert(not vm:run("ping -c 1 -W 1 " .. to):ok(), "parted")
  lan:unpartition(vm, other)
  t:assert(vm:run("ping -c 3 -w 60 " .. to):ok(), "joined")
end

local function leave_unread(_, vm)
  local s = vm:run_async("yes"):stdout_stream()
  s:next(60)
  s:close()
  vm:run("killall yes")
end

local function reset(_, vm) vm:reset() end

local function cycle(_, vm)
  vm:shutdown()
  vm:boot({ agent_timeout = 300 })
end

local deeds = { stream, transfer, part, leave_unread, reset, cycle, stream,
  transfer }

test("soak", function(t)
  local tasks = {}
  for i, vm in ipairs(vms) do
    tasks[i] = function() vm:boot({ agent_timeout = 300 }) end
  end
  provium.all(unpack(tasks))
  local start, round = now(), 0
  repeat
    -- Pairs, so that nobody resets whom another pings.
    for i = 1, #vms, 2 do
      local deed, other = deeds[pick(#deeds)], deeds[pick(2)]
      tasks[i] = function() deed(t, vms[i], vms[i + 1] or vms[1]) end
      tasks[i + 1] = deed ~= part and i < #vms
        and function() other(t, vms[i + 1], vms[i]) end or function() end
    end
    provium.all(unpack(tasks, 1, #vms))
    round = round + 1
    local f = assert(io.open(os.getenv("SOAK_LOG"), "a"))
    local rss, fds = figures()
    f:write(("%d %d %d %d\n"):format(round, now() - start, rss, fds))
    f:close()
  until now() - start > MINUTES * 60
end)
