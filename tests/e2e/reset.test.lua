-- provium.reset_between_tests: each test finds what the chunk has left.
provium.reset_between_tests = true

local lan = provium:bridge("lan")
local a, b = provium:vm("a"), provium:vm("b")
lan:attach({ a, b })
provium:boot()
a:write_file("/state", "fresh")
local file = a:open_file("/state", { read = true })
local daemon = a:run_async("sleep 1000")
local off = provium:vm("off")

local function is_fresh(t)
  t:assert_eq(a:read_file("/state"), "fresh")
  t:assert_eq(file:read_all(), "fresh")
  t:assert_eq(daemon:status(), "running")
  t:assert(not lan:is_isolated(b))
  t:assert_eq(off:state(), "created")
  t:assert_eq(lan:members(), { "a", "b" })
  t:assert(a:run("ping -c 1 -w 20 b"):ok())
end

for i, what in ipairs({ "the first test", "the second", "the third" }) do
  test(what .. " finds it fresh, and spoils it", function(t)
    is_fresh(t)
    a:write_file("/state", "spoilt by " .. i)
    daemon:kill("kill")
    lan:isolate(b)
    lan:add_latency(1000)
    if i == 1 then
      a:shutdown()
    elseif i == 2 then
      b:reset()
      off:boot()
    end
  end)
end

test("a test that was skipped needs none of it", function(t)
  t:skip()
end)

test("what a test has made itself is gone as ever", function(t)
  is_fresh(t)
  local mine = provium:vm("mine")
  t:assert_eq(mine:state(), "created")
end)

test("and may be made again", function(t)
  provium:vm("mine", {})
  is_fresh(t)
end)
