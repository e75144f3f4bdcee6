-- Captures, as tests look at them.
local M = {}

-- The number of packets that have come since the last look.
function M.count(capture)
  local n = 0
  for _ in capture:packets(0) do
    n = n + 1
  end
  return n
end

return M
