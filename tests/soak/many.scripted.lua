-- Many guests for a long time: SOAK_VMS at once, for SOAK_MINUTES, each round a
-- choice by SOAK_SEED of boots, resets, streams, transfers, partitions and
-- snapshots. One test, so that what grows shows.
local soak = require("soak")
local MINUTES = soak.number("SOAK_MINUTES", 1)
local VMS = soak.number("SOAK_VMS", 8)
provium.timeout = MINUTES * 60 + 1200

local lan = provium:bridge("lan")
local vms = {}
for i = 1, VMS do
  vms[i] = provium:vm("v" .. i, { memory = "96M" })
end
lan:attach(vms)

local function stream(t, vm)
  local n = soak.pick(200000)
  local p = vm:run_async("seq 1 " .. n)
  p:stdout_stream():expect("\n" .. n .. "\n", 120)
  t:assert_eq(p:wait(60).exit_code, 0)
  p:close()
end

local function transfer(t, vm)
  local data = ("%09d"):format(soak.pick(1e9)):rep(soak.pick(100000))
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

-- The guest that comes back is that of then, and on the network.
local function turn_back(t, vm, other)
  local mark = tostring(soak.pick(1e9))
  vm:write_file("/tmp/mark", mark)
  local s = vm:snapshot()
  vm:write_file("/tmp/mark", "later")
  vm:restore(s, { agent_timeout = 300 })
  s:delete()
  t:assert_eq(vm:read_file("/tmp/mark"), mark)
  t:assert(vm:run("ping -c 3 -w 60 " .. other:nic("lan"):ip()):ok(), "reachable")
end

local deeds = { stream, transfer, part, leave_unread, reset, cycle, stream,
  transfer, turn_back }

test("many guests at once", function(t)
  local tasks = {}
  for i, vm in ipairs(vms) do
    tasks[i] = function() vm:boot({ agent_timeout = 300 }) end
  end
  provium.all(unpack(tasks))
  local start, round = soak.now(), 0
  repeat
    -- Pairs, so that nobody resets whom another pings.
    for i = 1, #vms, 2 do
      local deed, other = deeds[soak.pick(#deeds)], deeds[soak.pick(2)]
      tasks[i] = function() deed(t, vms[i], vms[i + 1] or vms[1]) end
      tasks[i + 1] = deed ~= part and i < #vms
        and function() other(t, vms[i + 1], vms[i]) end or function() end
    end
    provium.all(unpack(tasks, 1, #vms))
    round = round + 1
    soak.round(round)
  until soak.now() - start > MINUTES * 60 and round >= soak.ROUNDS_MIN
end)
