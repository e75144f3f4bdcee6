test("the worker fits", { timeout = 120 }, function(t)
  local vm = provium:vm("a"):boot({ memory = "96M" })
  vm:run("tail /dev/zero", { check = true })
end)
