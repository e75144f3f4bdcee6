# Sourced by check.sh: every test there is, cheapest first. Uses its
# functions unit and suite.
# shellcheck shell=sh

jobs=$(nproc)

say() {
	echo "== $*"
}

# Units, twice: as users run them, and under AddressSanitizer and UBSan.
for mode in release asan; do
	say "unit tests, $mode"
	make -s -j"$jobs" MODE=$mode unit-build || exit 1
	export PROVIUM_B="build/$mode"
	for t in $(units_in "build/$mode"); do
		unit "$t"
	done
done
export PROVIUM_B=build/release

say "command line"
suite sh tests/e2e/cli.sh build/provium
suite sh tests/e2e/select.sh build/provium
suite sh tests/e2e/reports.sh build/provium
suite sh tests/e2e/page.sh build/provium

say "files side by side, and files that misbehave"
build/provium guest build || exit 1
suite sh tests/e2e/sched.sh build/provium

say "installation"
suite sh tests/e2e/install.sh

say "bad input, explained"
make -s build/release/provium-agent-other || exit 1
suite sh tests/e2e/refusals.sh build/provium build/release/provium-agent-other

say "guests that mean harm"
make -s build/release/provium-agent-hostile build/release/packets || exit 1
suite sh tests/hostile/hostile.sh build/provium \
    build/release/provium-agent-hostile build/release/packets

say "calls that fail"
make -s build/release/inject.so || exit 1
suite python3 tests/faults/faults.py build/provium build/release/inject.so \
    --runs 24

say "behaviour on real guests"
build/provium guest build || exit 1
suite build/provium run --artifacts "$CHECK_LOGS" \
    tests/demo tests/smoke tests/e2e tests/conformance

say "set up once, restored by all"
suite sh tests/e2e/fixture.sh build/provium

say "snapshots from run to run"
suite sh tests/e2e/snapshot.sh build/provium

say "a way out of the bridge, in a network of its own"
suite sh tests/uplink/uplink.sh build/provium

say "the same network as an ordinary user"
suite sh tests/as-user.sh build/provium \
    sh tests/uplink/uplink.sh ./provium
suite sh tests/as-user.sh build/provium ./provium run \
    tests/e2e/network.test.lua tests/e2e/impairments.test.lua \
    tests/e2e/route.test.lua tests/e2e/ipv6.test.lua \
    tests/e2e/forward.test.lua tests/e2e/mtu.test.lua

say "networks that repeat themselves"
suite sh tests/e2e/stable.sh build/provium

say "images with an init of their own"
suite sh tests/e2e/foreign.sh build/provium

say "nothing left behind"
suite python3 tests/e2e/kill.py build/provium

say "kernel vhost-vsock, nested in a guest"
suite sh tests/nested/vsock.sh build/provium

say "bridges of the kernel's, in a network of their own"
suite sh tests/knet/knet.sh build/provium

say "the kernel's netem, nested in a guest"
suite sh tests/knet/nested.sh build/provium \
    build/release/unit/vmm/test_net_kernel
