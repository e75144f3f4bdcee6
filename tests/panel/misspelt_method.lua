test("the file is there", function(t)
  local vm = provium:vm("a"):boot()
  vm:rum("true")
end)
