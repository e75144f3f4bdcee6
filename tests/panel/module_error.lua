local helper = require("panel_helper")
test("the helper agrees", function(t)
  helper.check(2)
end)
