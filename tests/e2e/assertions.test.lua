-- The context of a test as the runner really drives it; no guest is needed.
provium.timeout = "20s"

local order = {}

test("tests run in order", { tags = { "quick", "ctx" }, spec = "7.1" },
function(t)
  order[#order + 1] = t.name
  t:assert_eq(t.name, "tests run in order")
  t:assert_eq(t.meta.spec, "7.1")
end)

test("and keep the file's locals", function(t)
  t:assert_eq(order, { "tests run in order" })
end)

test("errors carry this file and line", function(t)
  local e = t:assert_raises(function() t:fail("here") end)
  t:assert_match(e, "assertions.test.lua:%d+: here$")
end)

test("wait_until is bounded", function(t)
  local e = t:assert_raises(function()
    wait_until(function() end, { timeout = "20ms", desc = "snow" })
  end)
  t:assert_contains(e, "wait_until: snow not met within 0.02s")
end)

test("log and print are told", function(t)
  t:log({ a = 1 })
  print("printed")
end)

test("json is there", function(t)
  t:assert_eq(json.decode(json.encode({ a = { 1, 2 } })), { a = { 1, 2 } })
end)

test("what is attached is checked", function(t)
  t:attach("bytes.bin", "\0\1\2")
  local function fails(text, fn)
    t:assert_contains(t:assert_raises(fn), text)
  end
  fails("t:attach: bad name '../x'", function() t:attach("../x", "") end)
  fails("t:attach: bytes", function() t:attach("x") end)
  fails("t:attach: name", function() t:attach() end)
end)
