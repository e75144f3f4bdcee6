/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "streams/backlog.h"
#include "tests/unit/tmp.h"

#define ROOMY ((uint64_t)1 << 40)

struct fixture {
	char dir[TMP_PATH_MAX];
	struct backlog b;
	struct err err;
	uint32_t next_in; /* numbers of records */
	uint32_t next_out;
	uint8_t record[BACKLOG_RECORD_MAX];
};

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	tmp_template(f->dir);
	assert_non_null(mkdtemp(f->dir));
	backlog_init(&f->b, f->dir, ROOMY);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	backlog_done(&f->b);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

/* Of any length, of which some are longer than a block. */
static size_t length_of(uint32_t i)
{
	return i % 97 == 96 ? BACKLOG_BLOCK + i : 4 + i * 7919 % 3000;
}

static void make_record(struct fixture *f, uint32_t i)
{
	size_t n = length_of(i);

	for (size_t k = 0; k < n; k++)
		f->record[k] = (uint8_t)(i + k);
	memcpy(f->record, &i, sizeof(i));
}

static int put(struct fixture *f)
{
	uint32_t i = f->next_in++;

	make_record(f, i);
	return backlog_put(&f->b, f->record, length_of(i), &f->err);
}

/* Checks the next record and drops it; false when there is none. */
static bool take(struct fixture *f)
{
	size_t n = 0;
	const uint8_t *p = backlog_peek(&f->b, &n, &f->err);

	if (!p)
		return false;
	make_record(f, f->next_out);
	assert_int_equal(n, length_of(f->next_out));
	assert_memory_equal(p, f->record, n);
	f->next_out++;
	backlog_drop(&f->b);
	return true;
}

static void take_all(struct fixture *f, uint32_t want)
{
	while (take(f))
		;
	assert_int_equal(f->err.code, 0);
	assert_int_equal(f->next_out, want);
	assert_true(backlog_is_empty(&f->b));
}

static void records_come_back_in_order(void **state)
{
	struct fixture *f = *state;

	assert_true(backlog_is_empty(&f->b));
	for (int i = 0; i < 2000; i++)
		assert_int_equal(put(f), 0);
	assert_false(backlog_is_empty(&f->b));
	take_all(f, 2000);
}

static void a_few_records_need_no_file(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 10; i++)
		assert_int_equal(put(f), 0);
	assert_int_equal(f->b.fd, -1);
	take_all(f, 10);
}

/* Writer and reader at any distance, also at none. */
static void reading_and_writing_take_turns(void **state)
{
	struct fixture *f = *state;
	uint32_t rnd = 1;

	for (int i = 0; i < 300; i++) {
		rnd = rnd * 1664525 + 1013904223;
		for (uint32_t k = rnd >> 16 & 31; k; k--)
			assert_int_equal(put(f), 0);
		for (uint32_t k = rnd >> 24 & 31; k && take(f); k--)
			;
	}
	take_all(f, f->next_in);
	assert_int_equal(put(f), 0);
	take_all(f, f->next_in);
}

static void memory_does_not_grow_with_the_backlog(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 20000; i++) {
		assert_int_equal(put(f), 0);
		assert_true(f->b.out.cap <= 4 * BACKLOG_BLOCK);
	}
	while (take(f))
		assert_true(f->b.in.cap <= 4 * BACKLOG_BLOCK);
	assert_int_equal(f->next_out, 20000);
	assert_null(f->b.in.mem);
	assert_null(f->b.out.mem);
}

static void the_file_has_no_name_and_gives_its_disk_back(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	for (int i = 0; i < 3000; i++)
		assert_int_equal(put(f), 0);
	DIR *d = opendir(f->dir);
	assert_non_null(d);
	int entries = 0;
	for (const struct dirent *e; (e = readdir(d));)
		entries += e->d_name[0] != '.';
	closedir(d);
	assert_int_equal(entries, 0);
	assert_int_equal(fstat(f->b.fd, &st), 0);
	assert_true(st.st_size > 3000000);
	take_all(f, 3000);
	assert_int_equal(fstat(f->b.fd, &st), 0);
	assert_int_equal(st.st_size, 0);
}

static void more_than_the_maximum_is_refused(void **state)
{
	struct fixture *f = *state;
	int code;

	f->b.max = 3000000;
	while (!(code = put(f)))
		;
	assert_int_equal(code, -ENOSPC);
	assert_non_null(strstr(f->err.text, "behind by 3000000 bytes"));
	assert_true(f->next_in > 500);
	take_all(f, f->next_in - 1);
}

/* The limit cuts a block, so the kernel writes a part of it first. */
static void what_a_full_disk_took_is_read_all_the_same(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, tight;
	int code;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight = old;
	tight.rlim_cur = BACKLOG_BLOCK * 5 / 2;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	while (!(code = put(f)))
		;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(code, -EFBIG);
	assert_int_equal(f->b.end, BACKLOG_BLOCK * 5 / 2);
	assert_non_null(strstr(f->err.text, f->dir));
	assert_non_null(strstr(f->err.text, strerror(EFBIG)));
	take_all(f, f->next_in);
}

static void a_missing_folder_is_named(void **state)
{
	struct fixture *f = *state;
	int code;

	backlog_done(&f->b);
	backlog_init(&f->b, "/nonexistent/spool", ROOMY);
	while (!(code = put(f)))
		;
	assert_int_equal(code, -ENOENT);
	assert_non_null(strstr(f->err.text, "'/nonexistent/spool'"));
	take_all(f, f->next_in);
}

static void a_file_that_lost_its_bytes_is_an_error(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 1000; i++)
		assert_int_equal(put(f), 0);
	assert_true(take(f));
	assert_int_equal(ftruncate(f->b.fd, 0), 0);
	while (take(f))
		;
	assert_int_equal(f->err.code, -ENODATA);
	assert_non_null(strstr(f->err.text, "cannot read back"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(records_come_back_in_order),
	    T(a_few_records_need_no_file),
	    T(reading_and_writing_take_turns),
	    T(memory_does_not_grow_with_the_backlog),
	    T(the_file_has_no_name_and_gives_its_disk_back),
	    T(more_than_the_maximum_is_refused),
	    T(what_a_full_disk_took_is_read_all_the_same),
	    T(a_missing_folder_is_named),
	    T(a_file_that_lost_its_bytes_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
