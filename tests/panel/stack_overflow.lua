local function f(n) return 1 + f(n + 1) end
test("it recurses", function(t) f(1) end)
