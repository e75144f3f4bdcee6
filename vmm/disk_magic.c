/* SPDX-License-Identifier: MIT */
/*
 * A raw disk may begin with a LUKS header, a partition table, a file system or
 * a tar archive: these are not in the table.
 */
#include "vmm/disk_magic.h"

#include <string.h>

#include "agent-proto/mem.h"

#define MAGIC_MAX 22

/* Sources: QEMU's block drivers (block/vmdk.c, vdi.c, vhdx.h, vpc.c, qed.h,
 * parallels.c, bochs.c), file(1)'s magic for the others. */
static const struct magic {
	size_t at; /* offset in the file, bytes */
	size_t n;
	char bytes[MAGIC_MAX];
	struct disk_container container;
} magics[] = {
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
    {0, 3, "\x1f\x8b\x08", {"a gzip file", true}},
    {0, 6, "\xfd\x37zXZ\0", {"an xz file", true}},
    {0, 4, "\x28\xb5\x2f\xfd", {"a zstd file", true}},
    {0, 4, "\x04\x22\x4d\x18", {"an lz4 file", true}},
    {0, 4, "\x02\x21\x4c\x18", {"an lz4 file", true}},
    {0, 3, "BZh", {"a bzip2 file", true}},
    {0, 4, "LZIP", {"an lzip file", true}},
    {0, 4, "PK\3\4", {"a zip file", true}},
    {0, 6, "7z\xbc\xaf\x27\x1c", {"a 7z file", true}},
    {0, 4, "\x3a\xff\x26\xed", {"an Android sparse image", true}},
};

const struct disk_container *disk_magic_find(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(magics); i++) {
		const struct magic *m = &magics[i];

		if (n >= m->at + m->n && !memcmp(p + m->at, m->bytes, m->n))
			return &m->container;
	}
	return NULL;
}
