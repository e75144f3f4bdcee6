-- Monotonic seconds.
local ffi = require("ffi")
ffi.cdef [[
  struct bench_timespec { long sec; long nsec; };
  int clock_gettime(int clock, struct bench_timespec *ts);
]]
local ts = ffi.new("struct bench_timespec")

return function()
  ffi.C.clock_gettime(1, ts)
  return tonumber(ts.sec) + tonumber(ts.nsec) / 1e9
end
