-- initial_time: what a guest's clock starts with.
local function boot(name, time)
  return provium:vm(name, { initial_time = time }):boot()
end

-- The clock says so, and less than this boot has taken is added.
local function says(t, vm, time)
  local now = vm:clock():get()
  t:assert(now >= time and now < time + 600, ("%.0f, not %.0f"):format(now,
    time))
end

test("a guest may live in the past or in the future", function(t)
  local year_2000, year_2040 = 951782400, 2208988800
  local past = boot("past", year_2000)
  says(t, past, year_2000)
  t:assert_match(past:run("date -u +%F").stdout, "^2000%-02%-29\n")
  says(t, boot("future", year_2040), year_2040)
end)

test("it starts anew with each boot", function(t)
  local vm = boot("again", 951782400)
  vm:clock():advance(1000000)
  vm:shutdown()
  vm:boot()
  says(t, vm, 951782400)
  vm:shutdown()
  vm:boot({ initial_time = 981173106 })
  says(t, vm, 981173106)
end)

test("without it, the time is the host's", function(t)
  local before = os.time() - 10
  local vm = provium:vm("now"):boot()
  local now = vm:clock():get()
  t:assert(now >= before and now <= os.time() + 10, now .. " at " .. before)
end)

test("what is no time is refused by name", function(t)
  for _, bad in ipairs({ -1, 253402300800, 1.5, "2000-01-01" }) do
    t:assert_match(t:assert_raises(function() boot("bad", bad) end),
      "initial_time.test.lua:%d+: lab:vm: initial_time must be ")
  end
end)
