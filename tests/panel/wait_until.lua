test("the leader is elected", function(t)
  local vm = provium:vm("a"):boot()
  wait_until(function() return vm:run("test -e /tmp/leader"):ok() end,
    { timeout = 2, desc = "a leader" })
end)
