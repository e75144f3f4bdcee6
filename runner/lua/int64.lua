-- What runner/bind_int.c cannot do through the C API of LuaJIT.
local ffi = require("ffi")
local int64 = ffi.typeof("int64_t")
local uint64 = ffi.typeof("uint64_t")

return {
  -- A fresh value each: its bytes are filled in by C.
  function() return int64() end,
  function() return uint64() end,
  -- 1 int64_t, 2 uint64_t, 0 anything else.
  function(value)
    if ffi.istype(int64, value) then
      return 1
    elseif ffi.istype(uint64, value) then
      return 2
    end
    return 0
  end,
}
