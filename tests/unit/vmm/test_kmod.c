/* SPDX-License-Identifier: MIT */
#include "vmm/kmod.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/skip.h"
#include "tests/unit/vmm/lib_image.h"
#include "tests/unit/vmm/lib_pack.h"

static const char dep[] = "kernel/a.ko: kernel/x/b-1.ko kernel/c.ko.xz\n"
			  "kernel/x/b-1.ko: kernel/c.ko.xz\n"
			  "kernel/c.ko.xz:\n"
			  "extra/d.ko.zst: kernel/e.ko\n"
			  "kernel/loop1.ko: kernel/loop2.ko\n"
			  "kernel/loop2.ko: kernel/loop1.ko\n"
			  "kernel/lost.ko: kernel/nowhere.ko\n"
			  "kernel/e.ko:\n";

static struct kmod_index *parse(const char *text, size_t n)
{
	struct err err;

	return kmod_index_parse("/nonexistent", text, n, &err);
}

static void expect_paths(struct kmod_index *x, const char *name,
			 const char *want)
{
	struct strvec got = {0};
	struct buf text = {0};
	struct err err;

	assert_int_equal(kmod_closure(x, name, &got, &err), 0);
	for (size_t i = 0; i < got.n; i++)
		buf_printf(&text, "%s ", got.v[i]);
	buf_append(&text, "", 1);
	assert_string_equal((char *)buf_data(&text), want);
	buf_done(&text);
	strvec_done(&got);
}

static void needed_modules_come_first_and_once(void **state)
{
	struct kmod_index *x = parse(dep, sizeof(dep) - 1);
	struct strvec both = {0};
	struct err err;

	(void)state;
	expect_paths(x, "a", "kernel/c.ko.xz kernel/x/b-1.ko kernel/a.ko ");
	expect_paths(x, "c", "kernel/c.ko.xz ");
	expect_paths(x, "d", "kernel/e.ko extra/d.ko.zst ");
	assert_int_equal(kmod_closure(x, "b_1", &both, &err), 0);
	assert_int_equal(kmod_closure(x, "a", &both, &err), 0);
	assert_int_equal(kmod_closure(x, "a", &both, &err), 0);
	assert_int_equal(both.n, 3);
	strvec_done(&both);
	kmod_index_free(x);
}

static void dash_and_underscore_are_one(void **state)
{
	struct kmod_index *x = parse(dep, sizeof(dep) - 1);

	(void)state;
	expect_paths(x, "b_1", "kernel/c.ko.xz kernel/x/b-1.ko ");
	expect_paths(x, "b-1", "kernel/c.ko.xz kernel/x/b-1.ko ");
	kmod_index_free(x);
}

static void what_is_missing_or_loops_is_an_error(void **state)
{
	struct kmod_index *x = parse(dep, sizeof(dep) - 1);
	struct strvec got = {0};
	struct err err;

	(void)state;
	assert_int_equal(kmod_closure(x, "none", &got, &err), -ENOENT);
	assert_non_null(strstr(err.text, "'none'"));
	assert_int_equal(kmod_closure(x, "", &got, &err), -ENOENT);
	assert_int_equal(kmod_closure(x, "lost", &got, &err), -ENOENT);
	assert_non_null(strstr(err.text, "'nowhere'"));
	assert_int_equal(kmod_closure(x, "loop1", &got, &err), -ELOOP);
	strvec_done(&got);
	kmod_index_free(x);
	assert_null(kmod_index_free(NULL));
}

static void damaged_text_is_refused(void **state)
{
	static const struct {
		const char *text;
		size_t n;
	} bad[] = {
	    {"kernel/a.ko\n", 12},	       /* no colon */
	    {"kernel/a.txt:\n", 14},	       /* no module */
	    {"/abs/a.ko:\n", 11},	       /* not relative */
	    {"kernel/../../a.ko:\n", 19},      /* leads out */
	    {"kernel/a\0.ko:\n", 14},	       /* a NUL */
	    {"kernel/a.ko: kernel/b.c\n", 24}, /* needs no module */
	    {":\n", 2},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_null(parse(bad[i].text, bad[i].n));
}

static void empty_text_and_missing_newline_are_fine(void **state)
{
	struct kmod_index *x = parse("", 0);
	struct strvec got = {0};

	(void)state;
	assert_non_null(x);
	assert_int_equal(kmod_closure(x, "a", &got, NULL), -ENOENT);
	kmod_index_free(x);
	x = parse("\n\nkernel/a.ko:", 14);
	expect_paths(x, "a", "kernel/a.ko ");
	kmod_index_free(x);
}

static void names_are_taken_from_paths(void **state)
{
	static const char *const cases[][2] = {
	    {"kernel/x/virtio-rng.ko", "virtio_rng"},
	    {"a.ko.gz", "a"},
	    {"a.ko.xz", "a"},
	    {"a.ko.zst", "a"},
	    {"a.ko.zip", NULL},
	    {".ko", NULL},
	    {"kernel/", NULL},
	    {"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *name = kmod_name(cases[i][0]);

		if (cases[i][1])
			assert_string_equal(name, cases[i][1]);
		else
			assert_null(name);
		free(name);
	}
}

static void files_are_read_uncompressed(void **state)
{
	struct buf ko = make_module("name=x", 7);
	char *dir = tmp_new();
	struct err err;

	(void)state;
	for (int f = UNPACK_NONE; f <= UNPACK_LZ4; f++) {
		struct buf in =
		    pack((enum unpack_format)f, buf_data(&ko), ko.len);
		char *path = tmp_write(dir, "m.ko", buf_data(&in), in.len);
		struct buf out = {0};

		assert_int_equal(kmod_read(path, &out, &err), 0);
		assert_int_equal(out.len, ko.len);
		assert_memory_equal(buf_data(&out), buf_data(&ko), ko.len);
		buf_done(&out);
		if (f == UNPACK_XZ) {
			assert_int_equal(truncate(path, (off_t)in.len - 1), 0);
			assert_int_equal(kmod_read(path, &out, &err), -EBADMSG);
			assert_non_null(strstr(err.text, "m.ko"));
			buf_done(&out);
		}
		free(path);
		buf_done(&in);
	}
	assert_int_equal(kmod_read("/nonexistent.ko", &ko, &err), -ENOENT);
	buf_done(&ko);
	tmp_remove(dir);
}

static void modinfo_gives_all_values_of_a_key(void **state)
{
	static const char text[] =
	    "alias=one\0\0\0depends=a,b\0aliased=no\0alias=two";
	struct buf ko = make_module(text, sizeof(text));
	struct strvec got = {0};

	(void)state;
	assert_int_equal(kmod_modinfo(buf_data(&ko), ko.len, "alias", &got), 0);
	assert_int_equal(got.n, 2);
	assert_string_equal(got.v[0], "one");
	assert_string_equal(got.v[1], "two");
	for (size_t n = 0; n < ko.len - sizeof(text); n++)
		assert_true(kmod_modinfo(buf_data(&ko), n, "x", &got) <= 0);
	assert_int_equal(kmod_modinfo(buf_data(&ko), 10, "x", &got), -EBADMSG);
	assert_int_equal(got.n, 2);
	strvec_done(&got);
	buf_done(&ko);
}

static void put_module(const char *dir, const char *path, const char *info,
		       size_t n, enum unpack_format f)
{
	struct buf ko = make_module(info, n);
	struct buf packed = pack(f, buf_data(&ko), ko.len);

	free(tmp_write(dir, path, buf_data(&packed), packed.len));
	buf_done(&packed);
	buf_done(&ko);
}

/* As a package is, before depmod ran. */
static void folder_without_modules_dep_is_scanned(void **state)
{
	char *dir = tmp_new();
	struct strvec got = {0};
	struct kmod_index *x;
	struct err err;

	(void)state;
#define INFO(s) s, sizeof(s)
	put_module(dir, "kernel/net/top.ko.zst", INFO("depends=mid-1,in"),
		   UNPACK_ZSTD);
	put_module(dir, "kernel/mid_1.ko.xz", INFO("depends=low"), UNPACK_XZ);
	put_module(dir, "kernel/low.ko", INFO("depends="), UNPACK_NONE);
	put_module(dir, "kernel/bad.ko", INFO("x"), UNPACK_NONE);
	free(tmp_write_str(dir, "kernel/bad.ko", "not ELF"));
	free(tmp_write_str(dir, "modules.builtin", "kernel/in.ko\n"));
	x = kmod_index_open(dir, &err);
	assert_non_null(x);
	expect_paths(x, "top",
		     "kernel/low.ko kernel/mid_1.ko.xz kernel/net/top.ko.zst ");
	expect_paths(x, "in", "");
	assert_int_equal(kmod_closure(x, "bad", &got, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "bad.ko"));
	kmod_index_free(x);
	strvec_done(&got);
	tmp_remove(dir);
}

static void missing_folder_is_an_error(void **state)
{
	struct err err = {0};

	(void)state;
	assert_null(kmod_index_open("/nonexistent", &err));
	assert_int_equal(err.code, -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent"));
}

static void damaged_modules_dep_is_named(void **state)
{
	char *dir = tmp_new();
	struct err err = {0};

	(void)state;
	free(tmp_write_str(dir, "modules.dep", "what is this"));
	assert_null(kmod_index_open(dir, &err));
	assert_int_equal(err.code, -EBADMSG);
	assert_non_null(strstr(err.text, "modules.dep"));
	tmp_remove(dir);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* depmod and our reading of .modinfo must come to the same closure. */
static void modinfo_agrees_with_depmod(void **state)
{
	static const char *const names[] = {"virtio_net", "vsock",
					    "vmw_vsock_virtio_transport"};
	struct kmod_index *known = NULL, *scanned = NULL;
	char *dir = tmp_new();
	struct dirent *e;
	struct err err;
	DIR *d = opendir("/lib/modules");

	(void)state;
	while (!known && d && (e = readdir(d))) {
		char *real = mem_printf("/lib/modules/%s", e->d_name);
		char *file = mem_printf("%s/modules.dep", real);
		char *from = mem_printf("%s/kernel", real);
		char *to = mem_printf("%s/kernel", dir);

		if (e->d_name[0] != '.' && access(file, R_OK) == 0 &&
		    symlink(from, to) == 0) {
			known = kmod_index_open(real, &err);
			scanned = kmod_index_open(dir, &err);
		}
		free(real);
		free(file);
		free(from);
		free(to);
	}
	if (d)
		closedir(d);
	for (size_t i = 0; known && i < ARRAY_LEN(names); i++) {
		struct strvec a = {0}, b = {0};

		if (kmod_closure(known, names[i], &a, NULL) == 0 && a.n) {
			assert_int_equal(
			    kmod_closure(scanned, names[i], &b, &err), 0);
			assert_int_equal(a.n, b.n);
			qsort(a.v, a.n, sizeof(*a.v), by_text);
			qsort(b.v, b.n, sizeof(*b.v), by_text);
			for (size_t j = 0; j < a.n; j++)
				assert_string_equal(a.v[j], b.v[j]);
		}
		strvec_done(&a);
		strvec_done(&b);
	}
	tmp_remove(dir);
	if (!known)
		skip_because("no kernel with modules is installed");
	kmod_index_free(known);
	kmod_index_free(scanned);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(needed_modules_come_first_and_once),
	    cmocka_unit_test(dash_and_underscore_are_one),
	    cmocka_unit_test(what_is_missing_or_loops_is_an_error),
	    cmocka_unit_test(damaged_text_is_refused),
	    cmocka_unit_test(empty_text_and_missing_newline_are_fine),
	    cmocka_unit_test(names_are_taken_from_paths),
	    cmocka_unit_test(files_are_read_uncompressed),
	    cmocka_unit_test(modinfo_gives_all_values_of_a_key),
	    cmocka_unit_test(folder_without_modules_dep_is_scanned),
	    cmocka_unit_test(missing_folder_is_an_error),
	    cmocka_unit_test(damaged_modules_dep_is_named),
	    cmocka_unit_test(modinfo_agrees_with_depmod),
	};

	return cmocka_run_group_tests_name("kmod", tests, NULL, NULL);
}
