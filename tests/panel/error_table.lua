test("the quorum is there", function(t)
  error({ code = 5, msg = "no quorum" })
end)
