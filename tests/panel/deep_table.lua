test("the settings are as written", function(t)
  local got = { net = { if0 = { addrs = { "10.0.0.1", "10.0.0.2" } } } }
  local want = { net = { if0 = { addrs = { "10.0.0.1", "10.0.0.3" } } } }
  t:assert_eq(got, want)
end)
