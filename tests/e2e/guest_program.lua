-- A C program of the tests for a guest: static, whatever the guest has. For
-- require(); source: a path beside this file.
local here = debug.getinfo(1, "S").source:match("^@(.*)/")

return function(vm, source, path)
  local out = os.tmpname()
  local done = os.execute(("${CC:-cc} -O2 -std=gnu11 -D_GNU_SOURCE -static "
    .. "-o %s '%s/%s'"):format(out, here, source))
  assert(done == 0 or done == true, "cannot compile " .. source)
  for _, v in ipairs(vm) do
    v:push_file(out, path, { mode = 493 })
  end
  os.remove(out)
end
