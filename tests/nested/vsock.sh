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
. "$top/tests/nested/lib.sh"
mkdir -p "$root/nested/guest" "$root/usr/share/qemu"

qemu=$(path_of qemu-system-x86_64)
add_program "$qemu"
# TCG is a module on Debian 12; on 13 it is built into QEMU.
dpkg -L qemu-system-x86 qemu-system-common >"$work/qemu.files"
tcg=$(sed -n '/\/accel-tcg-x86_64\.so$/p' "$work/qemu.files")
[ -z "$tcg" ] || add_program "$tcg"
add_program "$provium"
# On its path in there; and firmware, which ldd cannot know of.
mkdir -p "$root/usr/bin"
cp "$provium" "$root/usr/bin/provium"
for f in bios-256k.bin kvmvapic.bin linuxboot_dma.bin pvh.bin; do
	for d in /usr/share/qemu /usr/share/seabios; do
		[ -e "$d/$f" ] && cp -L "$d/$f" "$root/usr/share/qemu/$f"
	done
done

add_modules /nested vhost_iotlb vhost vhost_vsock

cp "$image/vmlinux" "$root/nested/guest/vmlinux"
cp "$image/initrd.cpio" "$root/nested/guest/initrd.cpio"
cp -r "$top/tests/smoke" "$root/nested/tests"

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

run_outer "$top/tests/nested/outer.scripted.lua" 1G
