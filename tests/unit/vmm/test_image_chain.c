/* SPDX-License-Identifier: MIT */
#include "vmm/image_chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "tests/unit/vmm/lib_image.h"
#include "vmm/qcow2.h"

#define NAME_AT 512
#define EXT_AT	104

static int make_dir(void **state)
{
	*state = tmp_new();
	return 0;
}

static int remove_dir(void **state)
{
	tmp_remove(*state);
	return 0;
}

/* An extension; returns where the next begins. */
static size_t put_ext(uint8_t *p, size_t at, const char *type, const char *text)
{
	memcpy(p + at, type, 4);
	p[at + 7] = (uint8_t)strlen(text);
	memcpy(p + at + 8, text, strlen(text));
	return at + 8 + (strlen(text) + 7) / 8 * 8;
}

/* The start of an image that names files; NULL: does not. */
static void make_image(const char *dir, const char *file, const char *backing,
		       const char *format, const char *data)
{
	uint8_t p[1024] = "QFI\xfb\0\0\0\3";
	size_t at = EXT_AT;

	p[29] = 0x10; /* 1 MiB */
	p[103] = EXT_AT;
	if (backing) {
		p[14] = NAME_AT >> 8;
		p[19] = (uint8_t)strlen(backing);
		memcpy(p + NAME_AT, backing, strlen(backing));
	}
	if (format)
		at = put_ext(p, at, "\xe2\x79\x2a\xca", format);
	if (data) {
		p[79] = 4;
		put_ext(p, at, "DATA", data);
	}
	free(tmp_write(dir, file, p, sizeof(p)));
}

static void check(const char *dir, const char *file, const char *const *want,
		  size_t n)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", dir, file);
	CLEANUP(strvec_done) struct strvec got = {0};
	struct err err;

	assert_int_equal(image_chain(path, &got, &err), 0);
	assert_int_equal(got.n, n);
	for (size_t i = 0; i < n; i++) {
		CLEANUP(free_ptr)
		char *full = *want[i] == '/'
				 ? mem_strdup(want[i])
				 : mem_printf("%s/%s", dir, want[i]);

		assert_string_equal(got.v[i], full);
	}
}

static void a_chain_of_any_depth_is_followed(void **state)
{
	static const char *const want[] = {"top.qcow2", "top.data", "mid",
					   "sub/low", "sub/base"};

	make_image(*state, "top.qcow2", "mid", "qcow2", "top.data");
	make_image(*state, "mid", "sub/low", NULL, NULL);
	make_image(*state, "sub/low", "base", "raw", NULL);
	/* Raw: a guest may have written it. */
	make_image(*state, "sub/base", "/etc/passwd", NULL, NULL);
	check(*state, "top.qcow2", want, ARRAY_LEN(want));
}

/* As QEMU has it: other than those without "file:". */
static void file_names_count_from_the_working_directory(void **state)
{
	CLEANUP(free_ptr) char *cwd = getcwd(NULL, 0);
	CLEANUP(free_ptr) char *name = mem_printf("file:%s/f", (char *)*state);
	static const char *const want[] = {"top.qcow2", "f", "low"};

	assert_int_equal(chdir(*state), 0);
	make_image(*state, "sub/top.qcow2", "file:f", "raw", NULL);
	{
		CLEANUP(strvec_done) struct strvec got = {0};

		assert_int_equal(image_chain("sub/top.qcow2", &got, NULL), 0);
		assert_int_equal(got.n, 2);
		assert_string_equal(got.v[1], "f");
	}
	assert_int_equal(chdir(cwd), 0);
	make_image(*state, "top.qcow2", name, "qcow2", NULL);
	make_image(*state, "f", "low", "raw", NULL);
	check(*state, "top.qcow2", want, ARRAY_LEN(want));
}

static void expect_refusal(const char *dir, const char *file, const char *want)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", dir, file);
	CLEANUP(strvec_done) struct strvec got = {0};
	struct err err;

	assert_int_equal(image_chain(path, &got, &err), -ENOTSUP);
	if (!strstr(err.text, want))
		fail_msg("no '%s' in '%s'", want, err.text);
	if (!strstr(err.text, path))
		fail_msg("no '%s' in '%s'", path, err.text);
}

static void names_that_are_no_path_are_refused(void **state)
{
	static const char *const names[] = {
	    "json:{\"driver\":\"raw\",\"file.filename\":\"/base\"}",
	    "nbd:localhost:10809",
	    "nbd+unix:///base?socket=/s",
	    "http://example.org/base",
	    "rbd:pool/base",
	    "host_device:/dev/sda",
	    "fat:/etc",
	    ":",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		make_image(*state, "p.qcow2", names[i], "raw", NULL);
		expect_refusal(*state, "p.qcow2", "backing file");
		expect_refusal(*state, "p.qcow2", names[i]);
		make_image(*state, "p.qcow2", NULL, NULL, names[i]);
		expect_refusal(*state, "p.qcow2", "data file");
	}
	/* Whoever names it, to any depth. */
	make_image(*state, "mid", names[0], "raw", NULL);
	make_image(*state, "top.qcow2", "mid", "qcow2", NULL);
	expect_refusal(*state, "mid", "no path");
	CLEANUP(free_ptr)
	char *path = mem_printf("%s/top.qcow2", (char *)*state);
	CLEANUP(strvec_done) struct strvec got = {0};
	struct err err;

	assert_int_equal(image_chain(path, &got, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "/mid' is no path"));
}

static void a_colon_behind_a_slash_is_part_of_a_path(void **state)
{
	static const char *const want[] = {"c.qcow2", "./json:x"};

	make_image(*state, "c.qcow2", "./json:x", "raw", NULL);
	check(*state, "c.qcow2", want, ARRAY_LEN(want));
}

/* They may lie on files of their own. */
static void backing_files_of_other_formats_are_refused(void **state)
{
	make_image(*state, "v.qcow2", "base.vmdk", "vmdk", NULL);
	expect_refusal(*state, "v.qcow2", "has the format 'vmdk'");
	make_image(*state, "v.qcow2", "base", "a-format-with-a-long-name",
		   NULL);
	expect_refusal(*state, "v.qcow2", "has the format 'a-format-with-a");
	free(tmp_write_str(*state, "base.vmdk", "KDMV\1"));
	make_image(*state, "v.qcow2", "base.vmdk", NULL, NULL);
	make_image(*state, "top.qcow2", "v.qcow2", "qcow2", NULL);
	CLEANUP(free_ptr)
	char *path = mem_printf("%s/top.qcow2", (char *)*state);
	CLEANUP(strvec_done) struct strvec got = {0};
	struct err err;

	assert_int_equal(image_chain(path, &got, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "/base.vmdk' begins like a VMDK"));
	/* Its bytes are the disk's where the image says so. */
	strvec_done(&got);
	make_image(*state, "v.qcow2", "base.vmdk", "raw", NULL);
	assert_int_equal(image_chain(path, &got, &err), 0);
	assert_int_equal(got.n, 3);
}

static void a_file_that_is_missing_is_part_of_it(void **state)
{
	static const char *const want[] = {"a.qcow2", "/nonexistent/base"};

	make_image(*state, "a.qcow2", "/nonexistent/base", "qcow2", NULL);
	check(*state, "a.qcow2", want, ARRAY_LEN(want));
}

static void an_image_without_names_is_alone(void **state)
{
	static const char *const want[] = {"b.img"};

	free(tmp_write_str(*state, "b.img", "raw"));
	check(*state, "b.img", want, 1);
	make_image(*state, "b.img", NULL, NULL, NULL);
	check(*state, "b.img", want, 1);
}

static void a_loop_ends(void **state)
{
	CLEANUP(free_ptr)
	char *path = mem_printf("%s/loop.qcow2", (char *)*state);
	CLEANUP(strvec_done) struct strvec got = {0};

	make_image(*state, "loop.qcow2", "loop.qcow2", NULL, "x");
	assert_int_equal(image_chain(path, &got, NULL), 0);
	assert_true(got.n > 1 && got.n <= IMAGE_CHAIN_MAX);
}

static void names_beyond_the_bytes_are_none(void **state)
{
	uint8_t p[QCOW2_HEADER_MAX] = "QFI\xfb\0\0\0\3";
	struct qcow2_names names;

	p[15] = QCOW2_HEADER_MAX - 2;
	p[19] = 3;
	memset(p + 100, 0xff, 4);
	assert_true(qcow2_find_names(p, sizeof(p), &names));
	assert_string_equal(names.backing, "");
	assert_true(names.is_cut);
	memset(p + 8, 0xff, 12);
	assert_true(qcow2_find_names(p, sizeof(p), &names));
	assert_string_equal(names.backing, "");
	assert_true(names.is_cut);
	free(tmp_write(*state, "cut.qcow2", p, sizeof(p)));
	expect_refusal(*state, "cut.qcow2",
		       "first 65536 bytes do not hold the name");
	assert_false(qcow2_find_names((const uint8_t *)"raw", 3, &names));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_chain_of_any_depth_is_followed),
	    cmocka_unit_test(file_names_count_from_the_working_directory),
	    cmocka_unit_test(names_that_are_no_path_are_refused),
	    cmocka_unit_test(a_colon_behind_a_slash_is_part_of_a_path),
	    cmocka_unit_test(backing_files_of_other_formats_are_refused),
	    cmocka_unit_test(a_file_that_is_missing_is_part_of_it),
	    cmocka_unit_test(an_image_without_names_is_alone),
	    cmocka_unit_test(a_loop_ends),
	    cmocka_unit_test(names_beyond_the_bytes_are_none),
	};

	return cmocka_run_group_tests_name("image_chain", tests, make_dir,
					   remove_dir);
}
