test("the file is there", function(t)
  local vm = provium:vm("a"):boot()
  vm:read_file("/etc/nothing")
end)
