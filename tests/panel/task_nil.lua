test("both have a leader", function(t)
  local nodes = { { leader = "a" }, {} }
  local function check(node)
    t:assert_eq(node.leader:upper(), "A")
  end
  provium.all(function() check(nodes[1]) end, function() check(nodes[2]) end)
end)
