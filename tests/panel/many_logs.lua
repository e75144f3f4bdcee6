test("it logs a lot", function(t)
  for i = 1, 1000 do
    t:log("step " .. i)
  end
  t:assert_eq(1, 2)
end)
