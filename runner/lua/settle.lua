-- Wraps a C function that may wait (runner/await.h). In a task it yields the
-- block of its operation; when the task is resumed, settle() gets the mark
-- and the block, and finish runs here, under the author's call. With a name and
-- a number, the wrapper also refuses more than that many arguments:
-- surplus(name, max, ...) raises unless those behind the last are nil.
local settle_block, pending, surplus = ...

local function settle(...)
  local first, block = ...
  if first == pending then
    return settle(settle_block(block))
  end
  return ...
end

return function(fn, name, max)
  if not max then
    return function(...)
      return settle(fn(...))
    end
  end
  return function(...)
    if select("#", ...) > max then
      surplus(name, max, ...)
    end
    return settle(fn(...))
  end
end
