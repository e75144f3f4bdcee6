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
release=$(sed -n 's/^release //p' "$image/info")
root=$work/root
mkdir -p "$root/knet" "$root/usr/sbin"

# A program and the libraries it names, at the paths where they are here; the
# program also as NAME.
add_program() {
	for f in "$1" $(ldd "$1" | awk '/=> \// { print $3 }
	    /^[ \t]*\// { print $1 }'); do
		[ -e "$root$f" ] && continue
		mkdir -p "$root${f%/*}"
		cp -L "$f" "$root$f"
	done
}

PATH=$PATH:/usr/sbin:/sbin
for name in ip bridge tc nft; do
	program=$(readlink -f "$(command -v $name)")
	add_program "$program"
	[ -e "$root/usr/sbin/$name" ] || cp "$program" "$root/usr/sbin/$name"
done
add_program "$unit"
add_program "$provium"
cp "$unit" "$root/knet/test_net_kernel"
cp "$provium" "$root/usr/sbin/provium"

# The modules of the guest's kernel: this machine's, or the package's.
modules=/lib/modules/$release
if [ ! -d "$modules" ]; then
	(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "linux-image-$release" &&
	    dpkg-deb -x linux-image-*.deb "$work/kernel")
	modules=$work/kernel/lib/modules/$release
fi
# Each behind what it needs.
wanted="llc stp bridge tun ifb libcrc32c nfnetlink nf_tables nft_meta_bridge
sch_ingress
sch_htb sch_netem cls_u32 act_mirred"
for m in $wanted; do
	find "$modules" -name "$m.ko*" -exec cp {} "$root/knet/" \;
done
echo "$wanted" >"$root/knet/modules"

modules_for() {
	sed -n "s|^$1 \\(.*\\)|\"\\1\",|p" "$image/modules.list"
}

# Two archives in a row are one initrd.
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/nested.cpio"
cat "$image/initrd.cpio" "$work/nested.cpio" >"$work/outer.cpio"
mkdir "$work/tests"
cp "$top/tests/knet/nested.test.lua" "$work/tests/"
cat >"$work/tests/provium.lua" <<EOF
return {
  default_profile = "outer",
  profiles = {
    outer = {
      kernel = "$image/vmlinux",
      initrd = "$work/outer.cpio",
      modules = {$(modules_for serial)},
      memory = "512M",
      cmdline = "quiet",
    },
  },
}
EOF
"$provium" run ${CHECK_LOGS:+--artifacts "$CHECK_LOGS"} \
    --config "$work/tests/provium.lua" "$work/tests"
