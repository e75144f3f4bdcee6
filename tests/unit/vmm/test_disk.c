/* SPDX-License-Identifier: MIT */
#include "vmm/disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "tests/unit/tmp.h"
#include "vmm/qcow2.h"
#include "vmm/store.h"

static int make_dir(void **state)
{
	char dir[TMP_PATH_MAX];

	tmp_template(dir);
	if (!mkdtemp(dir))
		return -1;
	*state = mem_strdup(dir);
	return 0;
}

static int remove_dir(void **state)
{
	store_remove(*state);
	free(*state);
	return 0;
}

static char *path_of(void **state, const char *name)
{
	return mem_printf("%s/%s", (const char *)*state, name);
}

static void write_image(const char *path, const void *p, size_t n)
{
	struct err err;

	store_remove(path);
	assert_int_equal(store_write(path, p, n, &err), 0);
}

/* A header of version 3: n bytes of it, with a backing file or none. */
static void make_header(uint8_t p[QCOW2_HEADER_MAX], bool names_file)
{
	memset(p, 0, QCOW2_HEADER_MAX);
	memcpy(p, "QFI\xfb\0\0\0\3", 8);
	p[15] = names_file ? 112 : 0;
	p[29] = 0x10; /* 1 MiB */
}

static void an_image_that_was_made_is_read(void **state)
{
	static const uint64_t sizes[] = {512, UINT64_C(1) << 30,
					 (UINT64_C(512) << 20) + 512,
					 QCOW2_SIZE_MAX};
	CLEANUP(free_ptr) char *path = path_of(state, "made.qcow2");
	struct disk_image image;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		store_remove(path);
		assert_int_equal(qcow2_create(path, sizes[i], &err), 0);
		assert_int_equal(disk_inspect(path, true, &image, &err), 0);
		assert_true(image.is_qcow2);
		assert_true(image.size == sizes[i]);
	}
	assert_int_equal(qcow2_create(path, 512, &err), -EEXIST);
	assert_non_null(strstr(err.text, path));
}

static void an_image_of_no_size_is_not_made(void **state)
{
	static const uint64_t sizes[] = {0, 1, 513, QCOW2_SIZE_MAX + 512};
	CLEANUP(free_ptr) char *path = path_of(state, "none.qcow2");
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_int_equal(qcow2_create(path, sizes[i], &err), -EINVAL);
		assert_int_equal(access(path, F_OK), -1);
		assert_int_equal(disk_check_size(sizes[i], &err), -EINVAL);
	}
}

static void other_bytes_are_a_raw_image(void **state)
{
	CLEANUP(free_ptr) char *path = path_of(state, "raw");
	struct disk_image image;
	struct err err;

	write_image(path, "QFJ", 3);
	assert_int_equal(disk_inspect(path, false, &image, &err), 0);
	assert_false(image.is_qcow2);
	assert_int_equal(image.size, 512);
}

static void containers_are_refused_unless_named_raw(void **state)
{
	CLEANUP(free_ptr) char *vmdk = path_of(state, "x.vmdk");
	CLEANUP(free_ptr) char *gz = path_of(state, "x.img.gz");
	CLEANUP(free_ptr) char *raw = path_of(state, "x.raw");
	struct disk_image image;
	struct err err;

	write_image(vmdk, "KDMV\1\0\0\0", 8);
	assert_int_equal(disk_inspect(vmdk, false, &image, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, vmdk));
	assert_non_null(strstr(err.text, "a VMDK image: convert it"));
	assert_int_equal(disk_inspect(vmdk, true, &image, &err), -ENOTSUP);
	write_image(gz, "\x1f\x8b\x08\0", 4);
	assert_int_equal(disk_inspect(gz, false, &image, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "a gzip file: unpack it"));
	write_image(raw, "KDMV\1\0\0\0", 8);
	assert_int_equal(disk_inspect(raw, true, &image, &err), 0);
	assert_false(image.is_qcow2);
}

static void a_container_is_known_by_its_end(void **state)
{
	CLEANUP(free_ptr) char *vhd = path_of(state, "x.vhd");
	CLEANUP(free_ptr) char *raw = path_of(state, "vhd.raw");
	uint8_t p[2048] = {0};
	struct disk_image image;
	struct err err;

	memcpy(p + sizeof(p) - 512, "conectix", 8);
	write_image(vhd, p, sizeof(p));
	assert_int_equal(disk_inspect(vhd, false, &image, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "it ends like a VHD image: convert"));
	write_image(raw, p, sizeof(p));
	assert_int_equal(disk_inspect(raw, false, &image, &err), 0);
	/* Before the last sector it is data. */
	write_image(vhd, p, sizeof(p) - 2);
	assert_int_equal(disk_inspect(vhd, false, &image, &err), 0);
	/* So short that it has no such end. */
	write_image(vhd, p + sizeof(p) - 512, 100);
	assert_int_equal(disk_inspect(vhd, false, &image, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "it begins like a VHD image"));
}

static void qcow_of_version_1_is_refused(void **state)
{
	CLEANUP(free_ptr) char *path = path_of(state, "x.img");
	uint8_t p[512] = "QFI\xfb\0\0\0\1";
	struct disk_image image;
	struct err err;

	write_image(path, p, sizeof(p));
	assert_int_equal(disk_inspect(path, false, &image, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "version 1"));
}

static void a_header_that_a_guest_may_have_written_is_refused(void **state)
{
	CLEANUP(free_ptr) char *raw = path_of(state, "a.img");
	CLEANUP(free_ptr) char *named = path_of(state, "a.qcow2");
	uint8_t p[QCOW2_HEADER_MAX + 16] = {0};
	struct disk_image image;
	struct err err;

	make_header(p, false);
	write_image(raw, p, sizeof(p));
	assert_int_equal(disk_inspect(raw, false, &image, &err), 0);
	assert_true(image.is_qcow2);
	assert_int_equal(disk_inspect(raw, true, &image, &err), -EINVAL);
	make_header(p, true);
	write_image(raw, p, sizeof(p));
	assert_int_equal(disk_inspect(raw, false, &image, &err), -EINVAL);
	assert_non_null(strstr(err.text, "ends in .qcow2"));
	make_header(p, false);
	p[79] = 4; /* data in another file */
	p[103] = QCOW2_HEADER_MAX;
	memcpy(p + QCOW2_HEADER_MAX, "DATA\0\0\0\1d", 9);
	write_image(raw, p, sizeof(p));
	assert_int_equal(disk_inspect(raw, false, &image, &err), -EINVAL);
	write_image(named, p, sizeof(p));
	assert_int_equal(disk_inspect(named, true, &image, &err), 0);
}

static void a_damaged_header_is_refused(void **state)
{
	CLEANUP(free_ptr) char *path = path_of(state, "b.qcow2");
	uint8_t p[QCOW2_HEADER_MAX];
	struct disk_image image;
	struct err err;

	make_header(p, false);
	write_image(path, p, 71);
	assert_int_equal(disk_inspect(path, false, &image, &err), -EBADMSG);
	write_image(path, p, 103);
	assert_int_equal(disk_inspect(path, false, &image, &err), -EBADMSG);
	p[7] = 4;
	write_image(path, p, sizeof(p));
	assert_int_equal(disk_inspect(path, false, &image, &err), -EBADMSG);
	make_header(p, false);
	p[35] = 1;
	write_image(path, p, sizeof(p));
	assert_int_equal(disk_inspect(path, false, &image, &err), -ENOTSUP);
	make_header(p, false);
	p[24] = 0xff; /* the size */
	write_image(path, p, sizeof(p));
	assert_int_equal(disk_inspect(path, false, &image, &err), -EINVAL);
}

static void what_is_no_file_is_refused(void **state)
{
	CLEANUP(free_ptr) char *fifo = path_of(state, "fifo");
	CLEANUP(free_ptr) char *none = path_of(state, "nothing");
	struct disk_image image;
	struct err err;

	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(disk_inspect(fifo, false, &image, &err), -EINVAL);
	assert_int_equal(disk_inspect(*state, false, &image, &err), -EINVAL);
	assert_int_equal(disk_inspect(none, false, &image, &err), -ENOENT);
	assert_non_null(strstr(err.text, none));
}

static void ids_are_what_a_serial_number_can_be(void **state)
{
	(void)state;
	assert_true(disk_id_is_good("a"));
	assert_true(disk_id_is_good("Data_1.x-y"));
	assert_true(disk_id_is_good("12345678901234567890"));
	assert_false(disk_id_is_good("123456789012345678901"));
	assert_false(disk_id_is_good(""));
	assert_false(disk_id_is_good("a,serial=b"));
	assert_false(disk_id_is_good("a b"));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(an_image_that_was_made_is_read),
    cmocka_unit_test(an_image_of_no_size_is_not_made),
    cmocka_unit_test(other_bytes_are_a_raw_image),
    cmocka_unit_test(containers_are_refused_unless_named_raw),
    cmocka_unit_test(a_container_is_known_by_its_end),
    cmocka_unit_test(qcow_of_version_1_is_refused),
    cmocka_unit_test(a_header_that_a_guest_may_have_written_is_refused),
    cmocka_unit_test(a_damaged_header_is_refused),
    cmocka_unit_test(what_is_no_file_is_refused),
    cmocka_unit_test(ids_are_what_a_serial_number_can_be),
};

int main(void)
{
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
