-- provium.all and provium.race: results and errors.
local function fails(...)
  error(...)
end

test("results come in order, holes and all", function(t)
  t:assert_eq({ provium.all(function() return 1 end, function() end,
    function() return 3, "dropped" end) }, { 1, nil, 3 })
  t:assert_eq(select("#", provium.all(function() end, function() end)), 2)
  t:assert_eq(select("#", provium.all()), 0)
end)

test("an error says which task it was", function(t)
  local e = t:assert_raises(function()
    provium.all(function() end, function() fails("boom") end)
  end)
  t:assert_match(e, "^[^\n]*tasks.test.lua:3: boom %(task 2 of provium.all%)$")
  e = t:assert_raises(function()
    provium.race(function() fails("first line\nsecond line") end)
  end)
  t:assert_match(e,
    "tasks.test.lua:3: first line %(task 1 of provium.race%)\nsecond line$")
end)

test("an error that is no text is raised as it is", function(t)
  local mark = {}
  local ok, e = pcall(provium.all, function() error(mark) end)
  t:assert(not ok and e == mark)
end)

test("of tasks in tasks, each is named", function(t)
  local e = t:assert_raises(function()
    provium.all(function()
      provium.race(function() fails("deep") end)
    end)
  end)
  t:assert_contains(e,
    "deep (task 1 of provium.race) (task 1 of provium.all)")
end)

test("what is no function is refused by its place", function(t)
  t:assert_contains(t:assert_raises(function()
    provium.all(function() end, 5)
  end), "provium.all: argument 2 must be a function, got a number")
  t:assert_contains(t:assert_raises(function()
    provium.race()
  end), "provium.race: needs at least one function")
end)

test("a skip inside of a task skips the test", function(t)
  provium.all(function() t:skip("as a task says") end)
end)
