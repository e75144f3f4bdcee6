#!/bin/sh
# What the kernel's netem does to frames, proven where this host's kernel has
# none: a guest with Debian's kernel, whose modules hold all that it takes, runs
# the unit tests of bridges of the kernel's, whose TAPs need no guests behind
# them.
#   nested.sh PROVIUM TEST_NET_KERNEL
set -eu

provium=$(readlink -f "$1")
unit=$(readlink -f "$2")
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/provium-knet.XXXXXX")
trap 'rm -rf "$work"' EXIT

image=$("$provium" guest path)
. "$top/tests/nested/lib.sh"
mkdir -p "$root/knet" "$root/usr/sbin"

PATH=$PATH:/usr/sbin:/sbin
for name in ip bridge tc nft; do
	program=$(path_of $name)
	program=$(readlink -f "$program")
	add_program "$program"
	[ -e "$root/usr/sbin/$name" ] || cp "$program" "$root/usr/sbin/$name"
done
add_program "$unit"
add_program "$provium"
cp "$unit" "$root/knet/test_net_kernel"
cp "$provium" "$root/usr/sbin/provium"

# Each behind what it needs.
wanted="llc stp bridge tun ifb libcrc32c nfnetlink nf_tables nft_meta_bridge
sch_ingress
sch_htb sch_netem cls_u32 act_mirred"
# shellcheck disable=SC2086 # words
add_modules /knet $wanted
echo "$wanted" >"$root/knet/modules"

run_outer "$top/tests/knet/nested.scripted.lua" 512M
