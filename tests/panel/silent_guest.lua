test("it boots", function(t)
  provium:vm("a"):boot({ agent_timeout = "700ms" })
end)
