test("it boots", function(t)
  provium:vm("a"):boot({ qemu_args = { "-device", "nonsense" } })
end)
