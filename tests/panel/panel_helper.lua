local M = {}
function M.check(x)
  if x ~= 1 then
    error("x is " .. x)
  end
end
return M
