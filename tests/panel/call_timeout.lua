test("the tool ends", function(t)
  local vm = provium:vm("a"):boot()
  vm:run("echo half; sleep 1000", { timeout = 2, check = true })
end)
