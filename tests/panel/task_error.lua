test("all three come up", function(t)
  local function deep(n)
    if n == 0 then error("no leader elected") end
    deep(n - 1)
    return n
  end
  provium.all(function() end, function() deep(2) end, function() end)
end)
