test("fine", function(t) end)
error("the file itself fails")
