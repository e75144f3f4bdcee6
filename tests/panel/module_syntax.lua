local broken = require("panel_broken")
test("x", function(t) broken.f() end)
