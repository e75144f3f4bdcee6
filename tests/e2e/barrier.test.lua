-- lab:barrier(): where the tasks of provium.all and provium.race meet.
local function waits(name, count, timeout)
  return function()
    return provium:barrier(name, count, timeout)
  end
end

test("all go on when the last one comes", function(t)
  local order = {}
  local function task(delay)
    return function()
      pcall(wait_until, function() return false end, { timeout = delay })
      order[#order + 1] = "came"
      t:assert(provium:barrier("start", 3))
      order[#order + 1] = "went"
    end
  end
  provium.all(task(0), task(0.05), task(0.1))
  t:assert_eq(order,
    { "came", "came", "came", "went", "went", "went" })
end)

test("a name may be met at again and again", function(t)
  local n = 0
  local function task()
    for i = 1, 50 do
      t:assert(provium:barrier("round", 2))
      n = n + 1
      t:assert(provium:barrier("counted", 2))
      t:assert_eq(n, 2 * i)
      t:assert(provium:barrier("checked", 2))
    end
  end
  provium.all(task, task)
end)

test("alone is enough for one, and false at the deadline for two",
  function(t)
    t:assert_eq(provium:barrier("one", 1), true)
    t:assert_eq(provium:barrier("two", 2, 0.05), false)
    t:assert_eq(provium:barrier("two", 2, 0), false)
  end)

test("who has given up is not counted", function(t)
  t:assert_eq({ provium.all(waits("late", 2, 0.02), function()
    pcall(wait_until, function() return false end, { timeout = 0.2 })
    return provium:barrier("late", 2, 0.05)
  end) }, { false, false })
  -- Nor is a task that was cancelled.
  provium.race(waits("lost", 2), function()
    return true
  end)
  t:assert_eq(provium:barrier("lost", 2, 0.05), false)
end)

test("more than count meet in turns", function(t)
  local met = { provium.all(waits("pairs", 2, 0.2), waits("pairs", 2, 0.2),
    waits("pairs", 2, 0.2), waits("pairs", 2, 0.2),
    waits("pairs", 2, 0.2)) }
  local n = 0
  for _, is_met in ipairs(met) do
    n = n + (is_met and 1 or 0)
  end
  t:assert_eq(n, 4)
end)

test("labs and names are apart", function(t)
  local lab = provium:lab("inner")
  t:assert_eq({ provium.all(waits("x", 2, 0.1), function()
    return lab:barrier("x", 2, 0.1)
  end, waits("y", 2, 0.1)) }, { false, false, false })
end)

test("those who meet must agree on how many they are", function(t)
  local e = t:assert_raises(function()
    provium.all(waits("n", 3), waits("n", 2))
  end)
  t:assert_contains(e, "lab:barrier: count is 2, but those who wait at 'n' "
    .. "said 3")
end)

test("what is no count is refused by name", function(t)
  for _, bad in ipairs({ 0, -1, 1.5, "2" }) do
    t:assert_match(t:assert_raises(function()
      provium:barrier("b", bad)
    end), "barrier.test.lua:%d+: lab:barrier: count must be ")
  end
end)

test("the test's own time ends it", { timeout = 30 }, function(t)
  local vm = provium:vm("a"):boot()
  -- It costs a guest nothing, and calls go on meanwhile.
  t:assert_eq({ provium.all(function()
    return provium:barrier("vm", 2)
  end, function()
    t:assert_eq(vm:run("echo hi").stdout, "hi\n")
    return provium:barrier("vm", 2)
  end) }, { true, true })
end)
