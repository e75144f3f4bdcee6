/* SPDX-License-Identifier: MIT */
#include "vmm/stamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/vmm/lib_image.h"

struct fix {
	char *dir, *a, *b, *at;
	struct stamp s;
};

/* Files of the day before yesterday: old enough to trust their times. */
static void make_old(const char *path)
{
	struct timespec t[2] = {{1000000, 5}, {1000000, 5}};

	assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static int setup(void **state)
{
	struct fix *f = mem_zalloc(sizeof(*f));

	f->dir = tmp_new();
	f->a = tmp_write_str(f->dir, "with space", "a");
	f->b = tmp_write_str(f->dir, "b", "b");
	f->at = mem_printf("%s/stamp", f->dir);
	make_old(f->a);
	make_old(f->b);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	stamp_done(&f->s);
	free(f->a);
	free(f->b);
	free(f->at);
	tmp_remove(f->dir);
	free(f);
	return 0;
}

static void save_both(struct fix *f)
{
	stamp_add(&f->s, f->a);
	stamp_add(&f->s, f->b);
	stamp_save(&f->s, f->at, "the result");
}

static bool is_found(const struct fix *f)
{
	char *r = stamp_find(f->at);
	bool found = r != NULL;

	if (r)
		assert_string_equal(r, "the result");
	free(r);
	return found;
}

static void unchanged_files_give_the_result(void **state)
{
	struct fix *f = *state;

	assert_false(is_found(f));
	save_both(f);
	assert_true(is_found(f));
	assert_true(is_found(f));
}

static void each_change_shows(void **state)
{
	struct timespec t[2] = {{1000000, 5}, {1000000, 6}};
	struct fix *f = *state;
	char *other;

	save_both(f);
	assert_int_equal(utimensat(AT_FDCWD, f->b, t, 0), 0); /* time */
	assert_false(is_found(f));
	make_old(f->b);
	assert_true(is_found(f));
	assert_int_equal(truncate(f->a, 0), 0); /* size */
	make_old(f->a);
	assert_false(is_found(f));
	assert_int_equal(truncate(f->a, 1), 0);
	make_old(f->a);
	assert_true(is_found(f));
	other = tmp_write_str(f->dir, "other", "a"); /* inode */
	make_old(other);
	assert_int_equal(rename(other, f->a), 0);
	assert_false(is_found(f));
	free(other);
}

static void absent_files_must_stay_absent(void **state)
{
	struct fix *f = *state;

	unlink(f->b);
	save_both(f);
	assert_true(is_found(f));
	free(tmp_write_str(f->dir, "b", ""));
	assert_false(is_found(f));
}

static void young_files_leave_no_stamp_unless_made_by_us(void **state)
{
	struct fix *f = *state;

	stamp_add(&f->s, f->a);
	free(tmp_write_str(f->dir, "b", "just now"));
	stamp_add_made(&f->s, f->b);
	stamp_save(&f->s, f->at, "the result");
	assert_true(is_found(f));
	assert_int_equal(unlink(f->at), 0);
	free(tmp_write_str(f->dir, "b", "and now"));
	stamp_add(&f->s, f->b);
	stamp_save(&f->s, f->at, "the result");
	assert_int_equal(access(f->at, F_OK), -1);
}

static void names_with_newlines_leave_no_stamp(void **state)
{
	struct fix *f = *state;

	stamp_add(&f->s, "/tmp/a\n= other");
	stamp_save(&f->s, f->at, "the result");
	assert_int_equal(access(f->at, F_OK), -1);
}

static void foreign_files_are_no_stamps(void **state)
{
	static const char *const texts[] = {
	    "",
	    "= the result\n",
	    "provium stamp 1\n",
	    "provium stamp 1\ngarbage\n= the result\n",
	    "provium stamp 1\n1 2\n= the result\n",
	    "provium stamp 2\n= the result\n",
	};
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		free(tmp_write_str(f->dir, "stamp", texts[i]));
		assert_false(is_found(f));
	}
}

static void appended_stamps_count_as_well(void **state)
{
	struct stamp other = {0};
	struct fix *f = *state;

	stamp_add(&f->s, f->a);
	stamp_add(&other, f->b);
	stamp_append(&f->s, &other);
	stamp_done(&other);
	stamp_save(&f->s, f->at, "the result");
	assert_true(is_found(f));
	assert_int_equal(truncate(f->b, 0), 0);
	assert_false(is_found(f));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    T(unchanged_files_give_the_result),
	    T(each_change_shows),
	    T(absent_files_must_stay_absent),
	    T(young_files_leave_no_stamp_unless_made_by_us),
	    T(names_with_newlines_leave_no_stamp),
	    T(foreign_files_are_no_stamps),
	    T(appended_stamps_count_as_well),
	};

	return cmocka_run_group_tests_name("stamp", tests, NULL, NULL);
}
