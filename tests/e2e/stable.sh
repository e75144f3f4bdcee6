#!/bin/sh
# Networks are the same in every run: addresses, names and what is lost.
#   stable.sh PROVIUM
set -eu

provium=$(readlink -f "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

cat >"$dir/net.test.lua" <<'END'
local out = assert(io.open(os.getenv("STABLE_OUT"), "w"))
local lan = provium:bridge("lan", { ipv6 = true })
local wan = provium:bridge("wan")
local a = provium:vm("a", { spare_nics = 1 })
local b = provium:vm("b")
lan:attach({ b, a })
wan:attach(b)
provium:boot()

local function say(...)
  out:write(table.concat({ ... }, " "), "\n")
end

test("what a run has", function()
  for _, nic in ipairs({ lan:nic(a), lan:nic(b), wan:nic(b) }) do
    say(nic:vm_name(), nic:mac(), nic:ip())
  end
  say(lan:nic(a):ip6(), lan:nic(b):ip6())
  for _, vm in ipairs({ a, b }) do
    say(vm:run("cat /sys/class/net/eth*/address /etc/resolv.conf; "
      .. "ip -o address show scope global | grep -v tentative "
      .. "| sed 's/valid_lft.*//'; ip route").stdout)
  end
  lan:drop_rate({ from = a, to = b, p = 40 })
  -- Nothing but the ping: no neighbour is asked for on the way.
  a:run("arp -s " .. lan:nic(b):ip() .. " " .. lan:nic(b):mac())
  a:run("echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6")
  lan:seed(3)
  local r = a:run("ping -c 30 -i 0.05 -W 2 " .. lan:nic(b):ip())
  for n in r.stdout:gmatch("seq=(%d+)") do
    say("answer", n)
  end
  out:close()
end)
END

run() {
	STABLE_OUT=$dir/$1 "$provium" run "$dir/net.test.lua" >"$dir/log" 2>&1 ||
		{
			cat "$dir/log"
			exit 1
		}
}

run one &
first=$!
run two # beside each other: neither hears of the other
wait $first
run three
grep -q '^answer' "$dir/one"
for other in two three; do
	diff -u "$dir/one" "$dir/$other" || {
		echo "  FAIL    run $other differs from run one"
		echo "0 passed, 1 failed"
		exit 1
	}
done
echo "  ok      three runs have one network ($(wc -l <"$dir/one") lines)"
echo "1 passed, 0 failed"
