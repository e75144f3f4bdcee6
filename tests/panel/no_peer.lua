test("the log names the peer", function(t)
  local log = {}
  for i = 1, 300 do
    log[i] = "Nov 30 peer " .. i .. " is up"
  end
  t:assert_contains(table.concat(log, "\n"), "peer 301")
end)
