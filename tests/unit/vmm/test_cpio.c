/* SPDX-License-Identifier: MIT */
#include "vmm/cpio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/vmm/lib_image.h"

struct fix {
	char *dir;
	char *path;
	struct cpio c;
	struct buf bytes;
	struct archive a;
};

static int setup(void **state)
{
	struct fix *f = mem_zalloc(sizeof(*f));

	f->dir = tmp_new();
	f->path = tmp_write_str(f->dir, "out", "");
	cpio_init(&f->c, open(f->path, O_WRONLY | O_CLOEXEC));
	assert_true(f->c.fd >= 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	close(f->c.fd);
	cpio_done(&f->c);
	archive_done(&f->a);
	buf_done(&f->bytes);
	free(f->path);
	tmp_remove(f->dir);
	free(f);
	return 0;
}

static const struct archive *finish(struct fix *f)
{
	assert_int_equal(cpio_finish(&f->c), 0);
	f->bytes = tmp_read(f->path);
	f->a = archive_read(&f->bytes);
	assert_int_equal(f->a.n_trailers, 1);
	return &f->a;
}

static void files_keep_content_and_mode(void **state)
{
	struct fix *f = *state;
	const struct archive *a;
	const struct entry *e;

	assert_int_equal(cpio_add_file(&f->c, "/a", 0640, "x\0y", 3), 0);
	assert_int_equal(cpio_add_file(&f->c, "/empty", 04755, "", 0), 0);
	a = finish(f);
	e = archive_find(a, "a");
	assert_non_null(e);
	assert_int_equal(e->mode, S_IFREG | 0640);
	assert_int_equal(e->nlink, 1);
	assert_int_equal(e->n, 3);
	assert_memory_equal(e->content, "x\0y", 3);
	e = archive_find(a, "empty");
	assert_non_null(e);
	assert_int_equal(e->mode, S_IFREG | 04755);
	assert_int_equal(e->n, 0);
}

static void parents_are_made_once_and_before(void **state)
{
	struct fix *f = *state;
	const struct archive *a;

	assert_int_equal(cpio_add_file(&f->c, "/x/y/1", 0644, "1", 1), 0);
	assert_int_equal(cpio_add_file(&f->c, "/x/y/2", 0644, "2", 1), 0);
	a = finish(f);
	assert_int_equal(a->n, 5);
	assert_string_equal(a->e[0].name, "x/");
	assert_string_equal(a->e[1].name, "x/y/");
	assert_string_equal(a->e[2].name, "x/y/1");
	assert_string_equal(a->e[3].name, "x/y/2");
	assert_int_equal(a->e[0].mode, S_IFDIR | 0755);
}

static void symlinks_and_devices_are_described(void **state)
{
	struct fix *f = *state;
	const struct archive *a;
	const struct entry *e;

	assert_int_equal(cpio_add_symlink(&f->c, "/bin/sh", "/b"), 0);
	assert_int_equal(cpio_add_chardev(&f->c, "/dev/null", 0666, 1, 3), 0);
	a = finish(f);
	e = archive_find(a, "bin/sh");
	assert_int_equal(e->mode, S_IFLNK | 0777);
	assert_string_equal(e->content, "/b");
	e = archive_find(a, "dev/null");
	assert_int_equal(e->mode, S_IFCHR | 0666);
	assert_int_equal(e->rdev_major, 1);
	assert_int_equal(e->rdev_minor, 3);
}

static void big_files_are_whole(void **state)
{
	struct fix *f = *state;
	const struct entry *e;
	size_t n = (3 << 20) + 1;
	char *big = mem_alloc(n);

	for (size_t i = 0; i < n; i++)
		big[i] = (char)(i * 7 % 251 + 1);
	assert_int_equal(cpio_add_file(&f->c, "/1", 0644, "1", 1), 0);
	assert_int_equal(cpio_add_file(&f->c, "/big", 0644, big, n), 0);
	assert_int_equal(cpio_add_file(&f->c, "/2", 0644, "2", 1), 0);
	e = archive_find(finish(f), "big");
	assert_int_equal(e->n, n);
	assert_memory_equal(e->content, big, n);
	assert_string_equal(archive_find(&f->a, "2")->content, "2");
	free(big);
}

static void archives_end_aligned(void **state)
{
	struct fix *f = *state;

	assert_int_equal(cpio_add_file(&f->c, "/a", 0644, "xyz", 3), 0);
	finish(f);
	assert_int_equal(f->bytes.len % CPIO_ALIGN, 0);
}

static void bad_paths_are_refused(void **state)
{
	static const char *const bad[] = {"",	   "a",	    "/",      "/a/",
					  "//a",   "/a//b", "/./a",   "/a/.",
					  "/../a", "/a/..", "/a/../b"};
	struct fix *f = *state;
	char longest[CPIO_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(cpio_check_path(bad[i]), -EINVAL);
		assert_int_equal(cpio_add_file(&f->c, bad[i], 0644, "", 0),
				 -EINVAL);
	}
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(cpio_check_path(longest), -ENAMETOOLONG);
	longest[sizeof(longest) - 2] = '\0';
	assert_int_equal(cpio_check_path(longest), 0);
	assert_int_equal(cpio_check_path("/.a/..b/c..."), 0);
	assert_int_equal(finish(f)->n, 1);
}

static void a_failed_write_sticks(void **state)
{
	struct cpio c;

	(void)state;
	cpio_init(&c, open("/dev/full", O_WRONLY | O_CLOEXEC));
	assert_true(c.fd >= 0);
	assert_int_equal(cpio_add_file(&c, "/a", 0644, "a", 1), 0);
	assert_int_equal(cpio_finish(&c), -ENOSPC);
	close(c.fd);
	cpio_done(&c);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(files_keep_content_and_mode),
	    T(parents_are_made_once_and_before),
	    T(symlinks_and_devices_are_described),
	    T(big_files_are_whole),
	    T(archives_end_aligned),
	    T(bad_paths_are_refused),
	    cmocka_unit_test(a_failed_write_sticks),
	};

	return cmocka_run_group_tests_name("cpio", tests, NULL, NULL);
}
