#!/bin/sh
# The kernel's vhost-vsock, proven without one on this host: provium boots an
# outer guest (over whatever transport this host has) that holds QEMU, provium
# and a guest image; in it vhost_vsock is loaded and provium runs the smoke
# suite over vsock, on a guest within the guest. Emulation in emulation: a
# minute or two.
#   vsock.sh PROVIUM
set -eu

provium=$(readlink -f "$1")
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/provium-nested.XXXXXX")
trap 'rm -rf "$work"' EXIT

image=$("$provium" guest path)
release=$(sed -n 's/^release //p' "$image/info")
root=$work/root
mkdir -p "$root/nested/guest" "$root/usr/share/qemu"

# A program and the libraries it names, at the paths where they are here.
add_program() {
	for f in "$1" $(ldd "$1" | awk '/=> \// { print $3 }
	    /^[ \t]*\// { print $1 }'); do
		[ -e "$root$f" ] && continue
		mkdir -p "$root${f%/*}"
		cp -L "$f" "$root$f"
	done
}

qemu=$(command -v qemu-system-x86_64)
tcg=$(dpkg -L qemu-system-x86 qemu-system-common |
    grep '/accel-tcg-x86_64\.so$')
add_program "$qemu"
add_program "$tcg"
add_program "$provium"
# On its path in there; and firmware, which ldd cannot know of.
mkdir -p "$root/usr/bin"
cp "$provium" "$root/usr/bin/provium"
for f in bios-256k.bin kvmvapic.bin linuxboot_dma.bin pvh.bin; do
	for d in /usr/share/qemu /usr/share/seabios; do
		[ -e "$d/$f" ] && cp -L "$d/$f" "$root/usr/share/qemu/$f"
	done
done

# The vhost modules of the guest's kernel: this machine's, or the package's.
modules=/lib/modules/$release
if [ ! -d "$modules" ]; then
	(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "linux-image-$release" &&
	    dpkg-deb -x linux-image-*.deb "$work/kernel")
	modules=$work/kernel/lib/modules/$release
fi
for m in vhost_iotlb vhost vhost_vsock; do
	find "$modules" -name "$m.ko*" -exec cp {} "$root/nested/" \;
done

cp "$image/vmlinux" "$root/nested/guest/vmlinux"
cp "$image/initrd.cpio" "$root/nested/guest/initrd.cpio"
cp -r "$top/tests/smoke" "$root/nested/tests"

# The modules that the agent loads for a transport, as a Lua list.
modules_for() {
	sed -n "s|^$1 \\(.*\\)|\"\\1\",|p" "$image/modules.list"
}

# In there: the smoke suite on a guest of its own, over vsock.
cat >"$root/nested/tests/provium.lua" <<EOF
return {
  default_profile = "inner",
  profiles = {
    inner = {
      kernel = "/nested/guest/vmlinux",
      initrd = "/nested/guest/initrd.cpio",
      modules = {$(modules_for vsock)},
      memory = "128M",
      transport = "vsock",
    },
  },
}
EOF

# Two archives in a row are one initrd.
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/nested.cpio"
cat "$image/initrd.cpio" "$work/nested.cpio" >"$work/outer.cpio"
mkdir "$work/tests"
cp "$top/tests/nested/outer.test.lua" "$work/tests/"
cat >"$work/tests/provium.lua" <<EOF
return {
  default_profile = "outer",
  profiles = {
    outer = {
      kernel = "$image/vmlinux",
      initrd = "$work/outer.cpio",
      modules = {$(modules_for serial)},
      memory = "1G",
      cmdline = "quiet",
    },
  },
}
EOF
"$provium" run ${CHECK_LOGS:+--artifacts "$CHECK_LOGS"} \
    --config "$work/tests/provium.lua" "$work/tests"
