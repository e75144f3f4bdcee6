-- The outer guest: loads what a bridge of the kernel's takes, netem among it.
provium.timeout = 2400

local vm = provium:vm("outer"):boot({ agent_timeout = 300 })
vm:run([[
  cd /knet
  for m in $(cat modules); do
    for f in $m.ko*; do
      case $f in
      *.xz) xz -d $f ;;
      *.zst) zstd -d --rm $f ;;
      esac
    done
    [ -e $m.ko ] || continue
    insmod $m.ko || exit 1
  done]], { check = true })

test("doctor has nothing to say against it", function(t)
  local r = vm:run("HOME=/root provium doctor")
  t:assert_match(r.stdout, "ok    kernel network    available")
  t:assert(not r.stdout:find("netem"), r.stdout)
end)

test("the kernel's netem does what rules say", function(t)
  local r = vm:run("/knet/test_net_kernel 2>&1", { timeout = 2000 })
  t:log(r.stdout)
  t:assert_contains(r.stdout, "[  PASSED  ]")
  for _, name in ipairs({ "latency_delays",
    "what_is_on_its_way_is_cut", "jitter_keeps_the_order",
    "loss_loses_its_part", "loss_and_duplicates_are_independent",
    "duplicates_come_twice", "reordering_loses_nothing",
    "corruption_flips_a_bit", "pipes_and_latencies_add_up" }) do
    t:assert_contains(r.stdout, "[       OK ] " .. name)
  end
  t:assert_eq(r.exit_code, 0)
end)
