-- A guest that is asked for a directory and means harm makes nothing outside of
-- the target, nothing that looks complete, and no call that lasts. Run by
-- hostile.sh, as hostile.scripted.lua is.
provium.timeout = 120

local host = require("host")
local now, peak_mib = host.now, host.peak_mib

-- Beyond the deadline that was asked for: one turn of a busy machine.
local GRACE = 5
-- What a worker may take at its peak, as in hostile.scripted.lua.
local WORKER_MIB = 48

local well = provium:vm("well"):boot()
local ill = provium:vm("ill", {
  kernel_cmdline_append = "hostile=on", agent_timeout = 20,
}):boot()

local function output(command)
  local p = assert(io.popen(command))
  local text = p:read("*a")
  p:close()
  return text
end

-- Everything in dir, hidden or not, however deep.
local function names(dir)
  return output("cd " .. dir .. " && find . -mindepth 1 | sort")
end

local BROKE = "the agent broke the protocol: "

for _, case in ipairs({
  { "above", BROKE, "'../owned' of a tree has a name" },
  { "dots", BROKE, "'..' of a tree has a name" },
  { "absolute", BROKE, "'/tmp/owned' of a tree has a name" },
  { "nul", BROKE, "'ow' of a tree has a name" },
  { "link-dir", "cannot create '", "/target/out' on the host: File exists" },
  { "link-file", "cannot create '", "/target/out' on the host: File exists" },
  { "out-of-it", BROKE, "behind the end of a tree" },
  { "half", BROKE, "the tree breaks off" },
  { "deep", "'", "directories are more than 128 deep" },
  { "hole", "cannot write '", "/target/f' on the host: " },
}) do
  test("nothing is left of a tree: " .. case[1], function(t)
    local dir = t:tmpdir()
    os.execute("mkdir " .. dir .. "/in; ls -A /tmp >" .. dir .. "/before")
    local said = t:assert_raises(function()
      ill:pull_file("hostile:tree-" .. case[1], dir .. "/in/target")
    end)
    t:assert_contains(said, "trees.test.lua:")
    t:assert_contains(said, case[2])
    t:assert_contains(said, case[3])
    t:assert_eq(names(dir), "./before\n./in\n")
    t:assert_eq(output("ls /tmp/owned 2>&1 | grep -c '^/tmp/owned$'"), "0\n")
    -- Both machines go on.
    t:assert_eq(ill:state(), "booted")
    t:assert_eq(well:run("echo well").stdout, "well\n")
  end)
end

-- Long: a quarter of a million links are made, and removed.
test("entries without end have one", { slow = true, timeout = 300 }, function(t)
  local dir = t:tmpdir()
  local said = t:assert_raises(function()
    ill:pull_file("hostile:tree-endless", dir .. "/target")
  end)
  t:assert_contains(said, "there are more than 262144 entries")
  t:assert_eq(names(dir), "")
  t:assert(peak_mib() < WORKER_MIB, peak_mib())
end)

for _, deed in ipairs({ "endless", "large" }) do
  test("a tree without end holds no call beyond its deadline: " .. deed,
    function(t)
      local dir = t:tmpdir()
      local start = now()
      local first = provium.race(
        function()
          ill:pull_file("hostile:tree-" .. deed, dir .. "/target")
          return "answered"
        end,
        function() well:run({ "sleep", "2" }) return "late" end)
      t:assert_eq(first, "late")
      t:assert(now() - start < 2 + GRACE, now() - start)
      t:assert_eq(names(dir), "")
      t:assert(peak_mib() < WORKER_MIB, peak_mib())
    end)
end
