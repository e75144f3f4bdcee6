-- DHCP clients behind one NIC. A kernel bridge knows a NIC by its own MAC only:
-- this holds for provium's switch.
local lan = provium:bridge("lan")

test("a guest that restarts has its DHCP clients anew", { timeout = 300 },
  function(t)
    local vm = provium:vm("restarts")
    lan:attach(vm)
    vm:boot()
    -- How many of the clients with these last bytes of a MAC get a lease.
    local function leased(from, to)
      local n = 0
      for i = from, to do
        vm:run(("ip link set eth0 down; ip link set eth0 address 2:0:0:0:1:%x;"
          .. "ip link set eth0 up"):format(i), { check = true })
        local r = vm:run("udhcpc -i eth0 -n -q -f -T 2 -t 3 -s /bin/true")
        n = n + (r.stderr:find("obtained", 1, true) and 1 or 0)
      end
      return n
    end
    -- The NIC itself has the sixteenth lease.
    t:assert_eq(leased(1, 16), 15)
    vm:reset()
    local shown = vm:run("ip -4 -o addr show eth0", { check = true }).stdout
    t:assert_contains(shown, " " .. vm:nic("lan"):ip() .. "/")
    t:assert_eq(leased(17, 17), 1)
  end)
