/* SPDX-License-Identifier: MIT */
/*
 * A raw disk may begin with a LUKS header, a partition table, a file system or
 * a tar archive: these are not in the table.
 */
#include "vmm/disk_magic.h"

#include <string.h>

#include "agent-proto/mem.h"

#define MAGIC_MAX 23

/* Sources: QEMU's block drivers (block/vmdk.c, vdi.c, vhdx.h, vpc.c, qed.h,
 * parallels.c, bochs.c, cloop.c, dmg.c), file(1)'s magic for the others. */
struct magic {
	size_t at; /* offset in the bytes that are looked at */
	size_t n;
	char bytes[MAGIC_MAX];
	struct disk_container container;
};

static const struct magic heads[] = {
    {0, 4, "KDMV", {"a VMDK image", false}},
    {0, 4, "COWD", {"a VMDK image", false}},
    {0, 21, "# Disk DescriptorFile", {"a VMDK image", false}},
    {64, 4, "\x7f\x10\xda\xbe", {"a VDI image", false}},
    {0, 8, "vhdxfile", {"a VHDX image", false}},
    {0, 8, "conectix", {"a VHD image", false}},
    {0, 4, "QED\0", {"a QED image", false}},
    {0, 16, "WithoutFreeSpace", {"a Parallels image", false}},
    {0, 16, "WithouFreSpacExt", {"a Parallels image", false}},
    {0, 22, "Bochs Virtual HD Image", {"a Bochs image", false}},
    {0, 23, "#!/bin/sh\n#V2.0 Format\n", {"a cloop image", false}},
    {0, 8, "EVF\x09\x0d\x0a\xff\0", {"an EWF image", true}},
    {0, 8, "MComprHD", {"a CHD image", true}},
    {0, 3, "\x1f\x8b\x08", {"a gzip file", true}},
    {0, 6, "\xfd\x37zXZ\0", {"an xz file", true}},
    {0, 4, "\x28\xb5\x2f\xfd", {"a zstd file", true}},
    {1, 3, "\x2a\x4d\x18", {"a zstd file", true}}, /* a skippable frame */
    {0, 4, "\x04\x22\x4d\x18", {"an lz4 file", true}},
    {0, 4, "\x02\x21\x4c\x18", {"an lz4 file", true}},
    {0, 3, "BZh", {"a bzip2 file", true}},
    {0, 4, "LZIP", {"an lzip file", true}},
    {0, 9, "\x89LZO\0\r\n\x1a\n", {"an lzop file", true}},
    {0, 3, "\x1f\x9d\x90", {"a file of compress", true}},
    {0, 6, "Rar!\x1a\7", {"a RAR file", true}},
    {0, 4, "PK\3\4", {"a zip file", true}},
    {0, 6, "7z\xbc\xaf\x27\x1c", {"a 7z file", true}},
    {0, 4, "\x3a\xff\x26\xed", {"an Android sparse image", true}},
};

/* The whole of a VHD's footer, or all but a byte (before Virtual PC 2004); the
 * trailer of a DMG. */
static const struct magic tails[] = {
    {0, 8, "conectix", {"a VHD image", false}},
    {1, 8, "conectix", {"a VHD image", false}},
    {0, 4, "koly", {"a DMG image", false}},
};

static const struct disk_container *
disk_magic_find_in(const struct magic *magics, size_t n_magics,
		   const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n_magics; i++) {
		const struct magic *m = &magics[i];

		if (n >= m->at + m->n && !memcmp(p + m->at, m->bytes, m->n))
			return &m->container;
	}
	return NULL;
}

const struct disk_container *disk_magic_find(const uint8_t *p, size_t n)
{
	return disk_magic_find_in(heads, ARRAY_LEN(heads), p, n);
}

const struct disk_container *disk_magic_find_tail(const uint8_t *p, size_t n)
{
	return n == DISK_MAGIC_TAIL
		   ? disk_magic_find_in(tails, ARRAY_LEN(tails), p, n)
		   : NULL;
}
