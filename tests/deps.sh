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
export DEBIAN_FRONTEND=noninteractive # apt-get is to ask nothing
# need_root WHY: ends the script with the command that root runs instead.
need_root() {
	echo "deps.sh: $1; as root run: apt-get install$missing" >&2
	exit 1
}
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || need_root "you are not root and there is no sudo"
	# Asks for the password where sudo wants one.
	sudo -l apt-get >/dev/null 2>&1 ||
		need_root "sudo does not let you run apt-get"
	# sudo drops the environment. It takes a variable from those who may run
	# everything.
	sudo="sudo DEBIAN_FRONTEND=$DEBIAN_FRONTEND"
	$sudo apt-get --version >/dev/null 2>&1 || sudo=sudo
fi
$sudo apt-get -qq update
# shellcheck disable=SC2086 # a list of words
$sudo apt-get -qq -y --no-install-recommends install $missing >/dev/null
