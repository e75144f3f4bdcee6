local vm = provium:vm("a"):boot()
test("the daemon starts", { timeout = 5 }, function(t)
  vm:run("echo starting; sleep 1000")
end)
