-- rng_seed: the random numbers that a guest gets from its machine.
local function hwrng(name, seed)
  local vm = provium:vm(name, { rng_seed = seed }):boot()
  local r = vm:run("modprobe virtio_rng; head -c 65536 /dev/hwrng", { check = true })
  vm:close()
  return r.stdout
end

-- The guest's kernel takes some of the stream for itself, more or less of it
-- before each read: what is left has pieces in common, or it is another's.
local function has_common_piece(a, b)
  local PIECE = 16
  for at = 1, #a - PIECE, PIECE do
    if b:find(a:sub(at, at + PIECE - 1), 1, true) then
      return true
    end
  end
  return false
end

test("one seed gives one stream, another seed another", function(t)
  local one, same, other, none
  provium.all(function() one = hwrng("one", 0) end,
    function() same = hwrng("same", 0) end)
  provium.all(function() other = hwrng("other", 9223372036854775807LL) end,
    function() none = hwrng("none") end)
  t:assert_eq({ #one, #same, #other, #none }, { 65536, 65536, 65536, 65536 })
  t:assert(has_common_piece(one, same), "the same seed gave another stream")
  t:assert(not has_common_piece(one, other), "another seed gave that stream")
  t:assert(not has_common_piece(one, none), "no seed gave that stream")
end)

test("that of the boot wins", function(t)
  local vm = provium:vm("a", { rng_seed = 7 })
  local function seed()
    local f = assert(io.open(("/proc/%d/cmdline"):format(vm:pid())))
    local args = f:read("*a")
    f:close()
    return args:match("%z%-seed%z(%d+)%z")
  end
  vm:boot()
  t:assert_eq(seed(), "7")
  vm:shutdown()
  vm:boot({ rng_seed = 8 })
  t:assert_eq(seed(), "8")
end)

test("what is no seed is refused by name", function(t)
  for _, bad in ipairs({ -1, 1.5, "seven" }) do
    t:assert_match(t:assert_raises(function()
      provium:vm("bad", { rng_seed = bad })
    end), "rng_seed.test.lua:%d+: lab:vm: rng_seed must be an integer")
  end
end)
