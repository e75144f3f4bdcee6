# Sourced by check.sh: every test there is. Uses its functions queue and
# run_queue.
# shellcheck shell=sh disable=SC2154

say() {
	echo "== $*"
}

# Units, twice: as users run them, and under AddressSanitizer and UBSan; those
# that boot guests, and so take minutes, under the latter only. All that boots
# guests further below is as users run it.
for mode in release asan; do
	say "unit tests, $mode"
	make -s -j"$jobs" MODE=$mode unit-build || exit 1
	export PROVIUM_B="build/$mode"
	for t in $(units_in "build/$mode"); do
		case $mode-$t in
		release-*/vmm/test_vm | release-*/vmm/test_vm_*) ;;
		*) queue unit "$t" ;;
		esac
	done
	run_queue
done
export PROVIUM_B=build/release

make -s -j"$jobs" build/release/provium-agent-other \
    build/release/provium-agent-hostile build/release/packets \
    build/release/inject.so || exit 1
build/provium guest build || exit 1

say "behaviour on real guests"
queue suite build/provium run --artifacts "$CHECK_LOGS" \
    tests/demo tests/smoke tests/e2e tests/conformance
run_queue

# Long ones first, so that none is left to run alone at the end.
say "the rest"
# Kernel vhost-vsock, and the kernel's netem: nested in a guest.
queue suite sh tests/nested/vsock.sh build/provium
queue suite sh tests/knet/nested.sh build/provium \
    build/release/unit/vmm/test_net_kernel
# Bridges of the kernel's, in a network of their own.
queue suite sh tests/knet/knet.sh build/provium
# Nothing left behind; guests that mean harm; calls that fail.
queue suite python3 tests/e2e/kill.py build/provium
queue suite sh tests/hostile/hostile.sh build/provium \
    build/release/provium-agent-hostile build/release/packets
queue suite python3 tests/faults/faults.py build/provium \
    build/release/inject.so --runs 24
# Set up once, restored by all; from run to run.
queue suite sh tests/e2e/fixture.sh build/provium
queue suite sh tests/e2e/snapshot.sh build/provium
# Networks that repeat themselves; that have a way out, on a loopback of their
# own; of an ordinary user.
queue suite sh tests/e2e/stable.sh build/provium
queue suite sh tests/uplink/uplink.sh build/provium
queue suite sh tests/as-user.sh build/provium \
    sh tests/uplink/uplink.sh ./provium
queue suite sh tests/as-user.sh build/provium ./provium run \
    tests/e2e/network.test.lua tests/e2e/impairments.test.lua \
    tests/e2e/route.test.lua tests/e2e/ipv6.test.lua \
    tests/e2e/forward.test.lua tests/e2e/mtu.test.lua
# The command line; files side by side, and files that misbehave; bad input.
queue suite sh tests/e2e/sched.sh build/provium
queue suite sh tests/e2e/prompt.sh build/provium
queue suite sh tests/e2e/select.sh build/provium
queue suite sh tests/e2e/reports.sh build/provium
queue suite python3 tests/panel/panel.py build/provium
queue suite sh tests/e2e/page.sh build/provium
queue suite sh tests/e2e/cli.sh build/provium
queue suite sh tests/e2e/deadline.sh build/provium
queue suite sh tests/e2e/refusals.sh build/provium \
    build/release/provium-agent-other
queue suite sh tests/e2e/foreign.sh build/provium
queue suite sh tests/e2e/boot_files.sh build/provium
queue suite sh tests/e2e/install.sh
queue suite sh tests/e2e/fresh.sh build/provium
queue suite sh tests/e2e/counts.sh
run_queue
