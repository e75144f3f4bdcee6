#!/bin/sh
# Installs the Debian packages that are missing: `deps.sh build` what building
# and running needs, `deps.sh build check` also what the tests need,
# `deps.sh bench` the benchmarks' peers, and what draws them. Does nothing, and
# asks for no rights, where all are there.
set -eu

build="gcc make pkg-config libc6-dev libluajit-5.1-dev libevent-dev libpcap-dev
libjansson-dev libslirp-dev libzstd-dev liblzma-dev liblz4-dev zlib1g-dev libxxhash-dev
qemu-system-x86 busybox-static"
check="libcmocka-dev clang libclang-rt-dev clang-format clang-tidy cppcheck
valgrind shellcheck mandoc codespell libxml2-utils luajit python3 python3-pexpect cpio
tcpdump socat iproute2 nftables chromium perl"
bench="openssh-client bats lua-busted gnuplot-nox"

want=
for set in "$@"; do
	case $set in
	build) want="$want $build" ;;
	check) want="$want $check" ;;
	bench) want="$want $bench" ;;
	*)
		echo "deps.sh: unknown set '$set': build, check or bench" >&2
		exit 2
		;;
	esac
done

missing=
for p in $want; do
	case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
	*"ok installed"*) ;;
	*) missing="$missing $p" ;;
	esac
done
[ -z "$missing" ] && exit 0

echo "installing:$missing"
sudo=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "deps.sh: not root and no sudo; as root run:" >&2
		echo "  apt-get install$missing" >&2
		exit 1
	}
	sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get -qq update
# shellcheck disable=SC2086 # a list of words
$sudo apt-get -qq -y --no-install-recommends install $missing >/dev/null
