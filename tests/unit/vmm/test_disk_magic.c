/* SPDX-License-Identifier: MIT */
#include "vmm/disk_magic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent-proto/mem.h"

static void each_container_is_told(void **state)
{
	static const struct {
		size_t at;
		const char *bytes;
		size_t n;
		const char *name;
		bool is_packed;
	} rows[] = {
	    {0, "KDMV\1", 5, "a VMDK image", false},
	    {0, "# Disk DescriptorFile\n", 22, "a VMDK image", false},
	    {64, "\x7f\x10\xda\xbe", 4, "a VDI image", false},
	    {0, "vhdxfile", 8, "a VHDX image", false},
	    {0, "conectix", 8, "a VHD image", false},
	    {0, "QED\0", 4, "a QED image", false},
	    {0, "WithouFreSpacExt", 16, "a Parallels image", false},
	    {0, "\x1f\x8b\x08\0", 4, "a gzip file", true},
	    {0, "\xfd\x37zXZ\0", 6, "an xz file", true},
	    {0, "\x28\xb5\x2f\xfd", 4, "a zstd file", true},
	    {0, "BZh9", 4, "a bzip2 file", true},
	    {0, "PK\3\4", 4, "a zip file", true},
	    {0, "\x04\x22\x4d\x18", 4, "an lz4 file", true},
	    {0, "\x5a\x2a\x4d\x18", 4, "a zstd file", true},
	    {0, "\x89LZO\0\r\n\x1a\n", 9, "an lzop file", true},
	    {0, "\x1f\x9d\x90", 3, "a file of compress", true},
	    {0, "Rar!\x1a\7", 6, "a RAR file", true},
	    {0, "WithoutFreeSpace", 16, "a Parallels image", false},
	    {0, "Bochs Virtual HD Image\0", 23, "a Bochs image", false},
	    {0, "#!/bin/sh\n#V2.0 Format\n", 23, "a cloop image", false},
	    {0, "COWD", 4, "a VMDK image", false},
	    {0, "EVF\x09\x0d\x0a\xff\0", 8, "an EWF image", true},
	    {0, "MComprHD", 8, "a CHD image", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t head[DISK_MAGIC_MAX] = {0};
		const struct disk_container *c;

		memcpy(head + rows[i].at, rows[i].bytes, rows[i].n);
		c = disk_magic_find(head, sizeof(head));
		assert_non_null(c);
		assert_string_equal(c->name, rows[i].name);
		assert_int_equal(c->is_packed, rows[i].is_packed);
	}
}

/* Fixed VHD images and those of macOS begin with the first sector. */
static void some_are_told_by_their_end(void **state)
{
	uint8_t tail[DISK_MAGIC_TAIL] = {0};

	(void)state;
	assert_null(disk_magic_find_tail(tail, sizeof(tail)));
	memcpy(tail, "conectix", 8);
	assert_string_equal(disk_magic_find_tail(tail, sizeof(tail))->name,
			    "a VHD image");
	assert_null(disk_magic_find_tail(tail, sizeof(tail) - 1));
	/* Its footer had a byte less before Virtual PC 2004. */
	memset(tail, 0, sizeof(tail));
	memcpy(tail + 1, "conectix", 8);
	assert_non_null(disk_magic_find_tail(tail, sizeof(tail)));
	memset(tail, 0, sizeof(tail));
	memcpy(tail, "koly", 4);
	assert_string_equal(disk_magic_find_tail(tail, sizeof(tail))->name,
			    "a DMG image");
	/* Elsewhere in the last sector it is a guest's own data. */
	memset(tail, 0, sizeof(tail));
	memcpy(tail + 100, "conectix", 8);
	assert_null(disk_magic_find_tail(tail, sizeof(tail)));
}

static void what_a_raw_disk_begins_with_is_none(void **state)
{
	static const char *const good[] = {
	    "", "KDM", "LUKS\xba\xbe", "\xeb\x3c", "EFI PART", "vhdxfil"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_null(
		    disk_magic_find((const uint8_t *)good[i], strlen(good[i])));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_container_is_told),
	    cmocka_unit_test(some_are_told_by_their_end),
	    cmocka_unit_test(what_a_raw_disk_begins_with_is_none),
	};

	return cmocka_run_group_tests_name("disk_magic", tests, NULL, NULL);
}
