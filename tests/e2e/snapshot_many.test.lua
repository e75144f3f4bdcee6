-- Restores in a loop: each guest is what it was, and nothing adds up.
-- PROVIUM_TEST_RESTORES says how many.
local N = tonumber(os.getenv("PROVIUM_TEST_RESTORES") or 200)

local function read(path)
  local f = assert(io.open(path))
  local text = f:read("*a")
  f:close()
  return text
end

-- Of this process: open files, resident KiB.
local function usage()
  collectgarbage()
  local fds = 0
  for _ in io.popen("ls /proc/$PPID/fd"):lines() do fds = fds + 1 end
  return fds, tonumber(read("/proc/self/status"):match("VmRSS:%s+(%d+)"))
end

test("many restores of one guest", { tags = { "slow" }, timeout = 3600 },
  function(t)
    local lan = provium:bridge("lan")
    local v, peer = provium:vm("a"), provium:vm("peer")
    lan:attach({ v, peer })
    provium.all(function() v:boot() end, function() peer:boot() end)
    v:run("echo base >/tmp/x; dd if=/dev/urandom of=/tmp/noise bs=64k "
      .. "count=16; ping -c 1 -w 30 peer", { check = true })
    local noise = v:run("md5sum </tmp/noise").stdout
    local f = v:open_file("/tmp/x", { read = true })
    local time = v:clock():get()
    local s = v:snapshot()
    local seen, fds, rss = {}, nil, nil
    for i = 1, N do
      v:restore(s)
      t:assert_eq(f:read(4), "base")
      local out = v:run("cat /proc/sys/kernel/random/uuid /tmp/x; "
        .. "md5sum </tmp/noise; echo dirty >/tmp/x; rm /tmp/noise",
        { check = true }).stdout
      local uuid, rest = out:match("^(%S+)\n(.*)$")
      t:assert(not seen[uuid], "a random number came twice")
      seen[uuid] = true
      t:assert_eq(rest, "base\n" .. noise)
      t:assert(v:clock():get() - time < 60)
      if i % 10 == 1 then
        v:run("ping -c 1 -w 10 peer", { check = true })
        peer:run("ping -c 1 -w 10 a", { check = true })
      end
      if i == 20 then fds, rss = usage() end
    end
    local fds_now, rss_now = usage()
    t:log(("fds %d, then %d; KiB %d, then %d"):format(fds, fds_now, rss,
      rss_now))
    t:assert(fds_now <= fds + 2, fds_now - fds .. " more files")
    t:assert(rss_now < rss + 8192, rss_now - rss .. " KiB more")
  end)
