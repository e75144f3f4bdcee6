/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "agent-proto/tree_remove.h"
#include "streams/spool_tree.h"
#include "tests/unit/streams/lib_source.h"
#include "tests/unit/tmp.h"
#include "tests/unit/tree_bytes.h"

struct spooled {
	struct fixture f;
	char dir[TMP_PATH_MAX];
	char path[TMP_PATH_MAX + 32];
	struct buf bytes;
	struct spool_tree *sp;
	struct op op;
};

static int set_up(void **state)
{
	struct spooled *t = mem_zalloc(sizeof(*t));

	fixture_open(&t->f, STREAM_TAIL);
	tmp_template(t->dir);
	assert_non_null(mkdtemp(t->dir));
	snprintf(t->path, sizeof(t->path), "%s/out", t->dir);
	tree_dir(&t->bytes, "", 0755);
	tree_file(&t->bytes, "f", 0644, "text");
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct spooled *t = *state;

	spool_tree_free(t->sp);
	op_done(&t->op);
	stream_wait_done(&t->f.w);
	source_done(&t->f.src);
	loop_free(t->f.loop);
	tree_remove(AT_FDCWD, t->dir);
	buf_done(&t->bytes);
	free(t);
	return 0;
}

static void begin(struct spooled *t)
{
	struct err err = {0};

	t->sp = spool_tree_new(t->f.loop, t->f.src.stream, t->path, &err);
	if (!t->sp)
		fail_msg("%s", err.text);
}

static int wait_until(struct spooled *t, int64_t deadline_ns)
{
	op_done(&t->op);
	spool_tree_wait(t->sp, &t->op, deadline_ns);
	return op_wait(&t->op);
}

static int wait_for_end(struct spooled *t)
{
	return wait_until(t, clock_deadline_ns(60 * NS_PER_SEC));
}

static void put_all(struct spooled *t)
{
	source_put_bytes(&t->f.src, buf_data(&t->bytes), t->bytes.len, false);
}

/* Names in the test's directory, whole or not. */
static unsigned count_names(const struct spooled *t)
{
	DIR *d = opendir(t->dir);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* What is left when it is given up. */
static void check_nothing_left(struct spooled *t)
{
	assert_int_equal(access(t->path, F_OK), -1);
	t->sp = spool_tree_free(t->sp);
	assert_int_equal(count_names(t), 0);
}

static void a_directory_appears_when_it_is_complete(void **state)
{
	struct spooled *t = *state;
	struct stat st;

	begin(t);
	put_all(t);
	assert_int_equal(wait_until(t, clock_deadline_ns(NS_PER_MS)), 0);
	assert_int_equal(access(t->path, F_OK), -1);
	assert_int_equal(count_names(t), 1);
	buf_reset(&t->bytes);
	tree_up(&t->bytes);
	put_all(t);
	stream_end(t->f.src.stream, NULL);
	assert_int_equal(wait_for_end(t), 1);
	strcat(t->path, "/f");
	assert_int_equal(stat(t->path, &st), 0);
	assert_int_equal(st.st_size, 4);
	t->sp = spool_tree_free(t->sp);
	assert_int_equal(count_names(t), 1);
}

static void megabytes_pass_a_small_window(void **state)
{
	struct spooled *t = *state;
	char name[16];
	size_t at = 0;

	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "file%d", i);
		tree_file(&t->bytes, name, 0644, name);
	}
	tree_up(&t->bytes);
	begin(t);
	while (at < t->bytes.len) {
		at += source_put_windowed(&t->f.src, buf_data(&t->bytes) + at,
					  t->bytes.len - at);
		loop_poll(t->f.loop);
	}
	stream_end(t->f.src.stream, NULL);
	assert_int_equal(wait_for_end(t), 1);
	assert_int_equal(t->f.src.consumed, t->bytes.len);
	strcat(t->path, "/file19999");
	assert_int_equal(access(t->path, F_OK), 0);
}

static void a_stream_that_breaks_leaves_nothing(void **state)
{
	struct spooled *t = *state;
	struct err err;

	begin(t);
	put_all(t);
	err_set(&err, -EIO, "the cable was cut");
	stream_end(t->f.src.stream, &err);
	assert_int_equal(wait_for_end(t), -EIO);
	assert_string_equal(t->op.err.text, "the cable was cut");
	check_nothing_left(t);
}

static void a_tree_that_breaks_off_leaves_nothing(void **state)
{
	struct spooled *t = *state;

	begin(t);
	put_all(t);
	stream_end(t->f.src.stream, NULL);
	assert_int_equal(wait_for_end(t), -EPROTO);
	assert_non_null(
	    strstr(t->op.err.text, "the agent broke the protocol: "));
	assert_non_null(strstr(t->op.err.text, "the tree breaks off"));
	check_nothing_left(t);
}

static void a_stream_that_is_closed_leaves_nothing(void **state)
{
	struct spooled *t = *state;

	tree_up(&t->bytes);
	begin(t);
	put_all(t);
	stream_close(t->f.src.stream);
	assert_int_equal(wait_for_end(t), 0);
	check_nothing_left(t);
}

static void names_that_lead_out_are_refused(void **state)
{
	struct spooled *t = *state;

	begin(t);
	tree_file(&t->bytes, "../out", 0644, "x");
	put_all(t);
	assert_int_equal(wait_for_end(t), -EPROTO);
	assert_non_null(
	    strstr(t->op.err.text, "the agent broke the protocol: "));
	check_nothing_left(t);
}

static void a_wait_that_is_given_up_leaves_nothing(void **state)
{
	struct spooled *t = *state;

	begin(t);
	put_all(t);
	loop_poll(t->f.loop);
	spool_tree_wait(t->sp, &t->op, CLOCK_NEVER);
	t->sp = spool_tree_free(t->sp);
	assert_int_equal(t->op.result, -ECANCELED);
	assert_int_equal(count_names(t), 0);
}

static void a_place_that_is_taken_is_refused(void **state)
{
	struct spooled *t = *state;
	struct err err = {0};

	assert_null(
	    spool_tree_new(t->f.loop, t->f.src.stream, "/dev/null", &err));
	assert_int_equal(err.code, -ENOTDIR);
	stream_next(&t->f.w, CLOCK_NEVER);
	assert_null(spool_tree_new(t->f.loop, t->f.src.stream, t->path, &err));
	assert_int_equal(err.code, -EBUSY);
	assert_int_equal(count_names(t), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_directory_appears_when_it_is_complete),
	    TEST(megabytes_pass_a_small_window),
	    TEST(a_stream_that_breaks_leaves_nothing),
	    TEST(a_tree_that_breaks_off_leaves_nothing),
	    TEST(a_stream_that_is_closed_leaves_nothing),
	    TEST(names_that_lead_out_are_refused),
	    TEST(a_wait_that_is_given_up_leaves_nothing),
	    TEST(a_place_that_is_taken_is_refused),
	};

	return cmocka_run_group_tests_name("spool tree", tests, NULL, NULL);
}
