test("the guest answers", function(t)
  local vm = provium:vm("a"):boot()
  t:assert_eq(vm:run("uname -s").stdout, "Linux\n")
end)
