/* SPDX-License-Identifier: MIT */
/*
 * What is inside an x86 kernel image: the ELF vmlinux of a bzImage, its
 * release, and whether QEMU can enter it through PVH. Images are the user's
 * files: any bytes are fine, none are trusted.
 */
#ifndef VMM_VMLINUX_H
#define VMM_VMLINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"

#define VMLINUX_IMAGE_MAX (UINT64_C(512) << 20) /* bytes of a file we read */
#define VMLINUX_MAX	  (UINT64_C(1) << 30)	/* unpacked */

bool vmlinux_is_elf(const uint8_t *image, size_t n);
bool vmlinux_is_bzimage(const uint8_t *image, size_t n);

/*
 * The ELF file that a bzImage carries (Documentation/arch/x86/boot.rst:
 * payload_offset, payload_length), in ret_elf. -ENOEXEC: not a bzImage;
 * -EPROTONOSUPPORT: compressed in another way than gzip, xz, zstd, lz4;
 * -EBADMSG: damaged.
 */
int vmlinux_extract(const uint8_t *image, size_t n, struct buf *ret_elf,
		    struct err *err);

/* A 64-bit x86 ELF with the note XEN_ELFNOTE_PHYS32_ENTRY: where QEMU's
 * -kernel starts an uncompressed kernel. */
bool vmlinux_has_pvh(const uint8_t *elf, size_t n);

/* "6.1.0-56-cloud-amd64", from a bzImage's header or a vmlinux's banner.
 * Owned; NULL where there is none. It holds no '/'. */
char *vmlinux_release(const uint8_t *image, size_t n);

#endif
