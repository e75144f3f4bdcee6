test("the daemon starts", { timeout = 20 }, function(t)
  local vm = provium:vm("a"):boot()
  vm:run("echo starting; sleep 1000")
end)
