-- Runs beside hostile.scripted.lua, and knows nothing of it.
for i = 1, 3 do
  test("a file beside it goes on, " .. i, function(t)
    local vm = provium:vm("beside"):boot()
    vm:write_file("/tmp/x", ("x"):rep(1e6))
    t:assert_eq(vm:stat("/tmp/x").size, 1e6)
  end)
end
