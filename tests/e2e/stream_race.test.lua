-- A call on a stream that loses a provium.race takes nothing from it.
local vm = provium:vm("racer"):boot()

local LINES = 3000

-- A process that prints n lines, slowly enough that they come one by one, and
-- fast enough that two such often have something in the same turn.
local function printer(n)
  return vm:run_async("i=0; while [ $i -lt " .. n ..
    " ]; do echo line $i; i=$((i+1)); done"):stdout_stream()
end

local function expected(n)
  local lines = {}
  for i = 0, n - 1 do
    lines[#lines + 1] = "line " .. i .. "\n"
  end
  return table.concat(lines)
end

-- Reads two streams to their ends, each round by a race of read(stream).
local function race_both(a, b, read)
  local got = { [a] = {}, [b] = {} }

  local function reader(s)
    return function()
      return { s, read(s) or "" }
    end
  end

  while not (a:eof() and b:eof()) do
    local won = a:eof() and { b, read(b) or "" }
      or b:eof() and { a, read(a) or "" }
      or provium.race(reader(a), reader(b))

    table.insert(got[won[1]], won[2])
  end
  return table.concat(got[a]), table.concat(got[b])
end

local function check(t, read)
  local a, b = race_both(printer(LINES), printer(LINES), read)

  t:assert_eq(#a, #expected(LINES))
  t:assert_eq(#b, #expected(LINES))
  t:assert(a == expected(LINES), "bytes of the first are out of order")
  t:assert(b == expected(LINES), "bytes of the second are out of order")
end

test("a next that loses leaves its frame", function(t)
  check(t, function(s) return s:next() end)
end)

test("a read_until that loses leaves its line", function(t)
  check(t, function(s)
    local ok, line = pcall(s.read_until, s, "\n")

    return ok and line or s:next(0)
  end)
end)

test("a drain that loses leaves its frames", function(t)
  check(t, function(s) return table.concat(s:drain("1ms")) end)
end)

test("an expect that loses has skipped nothing", function(t)
  local a, b = printer(LINES), printer(LINES)
  local seen = { [a] = 0, [b] = 0 }

  local function reader(s)
    return function()
      local ok = pcall(s.expect, s, "line " .. seen[s] .. "\n")

      return ok and s or nil
    end
  end

  while seen[a] < LINES or seen[b] < LINES do
    local s = seen[a] == LINES and reader(b)()
      or seen[b] == LINES and reader(a)()
      or provium.race(reader(a), reader(b))

    t:assert(s, "a line was skipped: " .. seen[a] .. ", " .. seen[b])
    seen[s] = seen[s] + 1
  end
end)

test("of two that wait in one task group, all get what is theirs", function(t)
  local a, b = printer(LINES), printer(LINES)

  local function all_of(s)
    return function()
      local parts = {}

      for frame in function() return s:next() end do
        parts[#parts + 1] = frame
      end
      return table.concat(parts)
    end
  end

  local x, y = provium.all(all_of(a), all_of(b))
  t:assert(x == expected(LINES))
  t:assert(y == expected(LINES))
end)
