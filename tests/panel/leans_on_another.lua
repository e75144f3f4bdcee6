local vm
test("first", function(t) vm = provium:vm("a"):boot() end)
test("second", function(t) vm:run("true") end)
