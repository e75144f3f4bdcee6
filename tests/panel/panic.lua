test("the module loads", function(t)
  local vm = provium:vm("a"):boot()
  vm:run("echo c >/proc/sysrq-trigger")
end)
