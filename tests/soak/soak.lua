-- What the phases of the soak share: numbers from the environment, choices by
-- SOAK_SEED, time, and a line a round for soak.py. For require().
-- ROUNDS_MIN: fewer cannot be judged (SAMPLES_MIN of soak.py).
local soak = { ROUNDS_MIN = 6 }

function soak.number(name, default)
  return tonumber(os.getenv(name) or default)
end

local seed = soak.number("SOAK_SEED", 1)

-- 1 to n; the same ones in each run with that seed.
function soak.pick(n)
  seed = (seed * 16807) % 2147483647
  return seed % n + 1
end

function soak.now()
  local f = assert(io.open("/proc/uptime"))
  local s = f:read("*a"):match("^[%d.]+")
  f:close()
  return tonumber(s)
end

-- Of this process: resident KiB, and open files.
local function figures()
  collectgarbage()
  local f = assert(io.open("/proc/self/status"))
  local rss = f:read("*a"):match("VmRSS:%s+(%d+)")
  f:close()
  local n = 0
  for fd = 0, 4095 do
    local d = io.open("/proc/self/fdinfo/" .. fd)
    if d then
      n = n + 1
      d:close()
    end
  end
  return tonumber(rss), n - 1 -- its own look is one of them
end

local start = soak.now()

-- Between two rounds, when nothing is on its way. done: of what is counted.
function soak.round(done)
  local f = assert(io.open(os.getenv("SOAK_LOG"), "a"))
  local rss, fds = figures()
  f:write(("%d %d %d %d\n"):format(done, soak.now() - start, rss, fds))
  f:close()
end

return soak
