-- SOAK_BOOTS guests, a few at a time; each boots, runs something, and is closed
-- or shut down before.
local soak = require("soak")
local BOOTS = soak.number("SOAK_BOOTS", 20)
local AT_ONCE = 3
local EACH_SECONDS = 60 -- far more than any takes: what hangs is to fail
provium.timeout = BOOTS * EACH_SECONDS + 600

local function one(t, n, vm)
  local word = ("boot %d of seed choice %d"):format(n, soak.pick(1e9))
  vm:boot({ agent_timeout = 300 })
  t:assert_eq(vm:run({ "echo", word }).stdout, word .. "\n")
  if n % 4 == 0 then vm:shutdown() end
  vm:close()
end

test("one boot after the other", function(t)
  local lan = provium:bridge("lan")
  local n = 0
  while n < BOOTS do
    local tasks = {}
    for i = 1, math.min(AT_ONCE, BOOTS - n) do
      local vm = provium:vm("b" .. i, { memory = "96M" })
      lan:attach(vm)
      local nr = n + i
      tasks[i] = function() one(t, nr, vm) end
    end
    provium.all(unpack(tasks))
    n = n + #tasks
    soak.round(n)
  end
end)
