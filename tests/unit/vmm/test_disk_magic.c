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
	    cmocka_unit_test(what_a_raw_disk_begins_with_is_none),
	};

	return cmocka_run_group_tests_name("disk_magic", tests, NULL, NULL);
}
