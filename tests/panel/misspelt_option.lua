test("the VM has memory", function(t)
  provium:vm("a", { memroy = "256M" })
end)
