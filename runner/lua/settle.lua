-- Wraps a C function that may wait (runner/await.h). In a task it yields the
-- block of its operation; when the task is resumed, settle() gets the mark
-- and the block, and finish runs here, under the author's call.
local settle_block, pending = ...

local function settle(...)
  local first, block = ...
  if first == pending then
    return settle(settle_block(block))
  end
  return ...
end

return function(fn)
  return function(...)
    return settle(fn(...))
  end
end
