local function search(n)
  while n ~= 0 do
    n = n + 1
  end
end

test("it finds an end", { timeout = 2 }, function(t)
  search(1)
end)
