/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/mem.h"
#include "agent-proto/sparse.h"
#include "streams/spool_file.h"
#include "tests/unit/streams/lib_source.h"
#include "tests/unit/tmp.h"

struct spooled {
	struct fixture f;
	char dir[TMP_PATH_MAX];
	char path[TMP_PATH_MAX + 32];
	struct spool_file *sp;
	struct op op;
};

static int set_up(void **state)
{
	struct spooled *t = mem_zalloc(sizeof(*t));

	fixture_open(&t->f, STREAM_TAIL);
	tmp_template(t->dir);
	assert_non_null(mkdtemp(t->dir));
	snprintf(t->path, sizeof(t->path), "%s/out", t->dir);
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct spooled *t = *state;

	spool_file_free(t->sp);
	op_done(&t->op);
	stream_wait_done(&t->f.w);
	source_done(&t->f.src);
	loop_free(t->f.loop);
	unlink(t->path);
	rmdir(t->dir);
	free(t);
	return 0;
}

static void
begin_with(struct spooled *t,
	   struct spool_file *(*make)(struct loop *l, struct stream *s,
				      const char *path, struct err *err))
{
	struct err err = {0};

	t->sp = make(t->f.loop, t->f.src.stream, t->path, &err);
	if (!t->sp)
		fail_msg("%s", err.text);
}

static void begin(struct spooled *t)
{
	begin_with(t, spool_file_new);
}

static int wait_until(struct spooled *t, int64_t deadline_ns)
{
	op_done(&t->op);
	spool_file_wait(t->sp, &t->op, deadline_ns);
	return op_wait(&t->op);
}

static int wait_for_end(struct spooled *t)
{
	return wait_until(t, clock_deadline_ns(60 * NS_PER_SEC));
}

static void check_file(const struct spooled *t, const void *want, size_t n)
{
	int fd = open(t->path, O_RDONLY | O_CLOEXEC);
	uint8_t *got = mem_alloc(n + 1);
	size_t at = 0;
	ssize_t k;

	assert_true(fd >= 0);
	while ((k = read(fd, got + at, n + 1 - at)) > 0)
		at += (size_t)k;
	assert_int_equal(at, n);
	assert_memory_equal(got, want, n);
	free(got);
	close(fd);
}

/* Bytes that repeat late, if ever; owned. */
static uint8_t *noise(size_t n)
{
	uint8_t *p = mem_alloc(n);
	uint32_t x = 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = (uint8_t)(x >> 24);
	}
	return p;
}

static void what_is_pending_is_written_then_what_arrives(void **state)
{
	struct spooled *t = *state;

	source_put(&t->f.src, "pending ");
	begin(t);
	check_file(t, "pending ", 8);
	assert_int_equal(spool_file_written(t->sp), 8);
	source_put(&t->f.src, "and ");
	source_put_bytes(&t->f.src, "late", 4, true);
	source_put_bytes(&t->f.src, "\n", 1, false);
	assert_int_equal(wait_until(t, 0), 0);
	assert_false(spool_file_is_over(t->sp));
	stream_end(t->f.src.stream, NULL);
	assert_int_equal(wait_for_end(t), 1);
	assert_true(spool_file_is_over(t->sp));
	check_file(t, "pending and late\n", 17);
	assert_int_equal(spool_file_written(t->sp), 17);
	assert_true(stream_eof(t->f.src.stream));
	assert_null(spool_file_error(t->sp));
	/* Again, when it is over. */
	assert_int_equal(wait_for_end(t), 1);
}

static void what_is_left_of_a_match_is_the_beginning(void **state)
{
	struct spooled *t = *state;
	struct stream_pattern p = pat("login: ");

	source_put(&t->f.src, "hello login: rest");
	assert_int_equal(match_now(&t->f, &p, false), 0);
	begin(t);
	check_file(t, "rest", 4);
}

static void a_file_that_is_there_is_truncated(void **state)
{
	struct spooled *t = *state;
	FILE *f = fopen(t->path, "we");

	fputs("what was there before", f);
	fclose(f);
	source_put(&t->f.src, "new");
	begin(t);
	check_file(t, "new", 3);
}

static void megabytes_pass_a_small_window(void **state)
{
	struct spooled *t = *state;
	size_t n = (5 << 20) + 77, at = 0;
	uint8_t *p = noise(n);

	begin(t);
	while (at < n) {
		at += source_put_windowed(&t->f.src, p + at, n - at);
		loop_poll(t->f.loop);
	}
	stream_end(t->f.src.stream, NULL);
	assert_int_equal(wait_for_end(t), 1);
	check_file(t, p, n);
	assert_int_equal(t->f.src.consumed, n);
	free(p);
}

static void a_long_backlog_is_written_over_several_turns(void **state)
{
	struct spooled *t = *state;
	size_t n = 5 << 20;
	uint8_t *p = noise(n);

	source_put_bytes(&t->f.src, p, n, false);
	begin(t);
	assert_true(spool_file_written(t->sp) < n);
	stream_end(t->f.src.stream, NULL);
	assert_int_equal(wait_for_end(t), 1);
	check_file(t, p, n);
	free(p);
}

static void finishing_writes_all_that_arrived(void **state)
{
	struct spooled *t = *state;
	size_t n = 5 << 20;
	uint8_t *p = noise(n);

	begin(t);
	source_put_bytes(&t->f.src, p, n / 2, false);
	source_put_bytes(&t->f.src, p + n / 2, n / 2, true);
	spool_file_finish(t->sp);
	assert_true(spool_file_is_over(t->sp));
	stream_close(t->f.src.stream);
	check_file(t, p, n);
	assert_int_equal(spool_file_written(t->sp), n);
	spool_file_finish(t->sp);
	assert_int_equal(wait_for_end(t), 0);
	free(p);
}

static void finishing_notes_an_end_that_has_come(void **state)
{
	struct spooled *t = *state;

	begin(t);
	source_put(&t->f.src, "all");
	stream_end(t->f.src.stream, NULL);
	spool_file_finish(t->sp);
	check_file(t, "all", 3);
	assert_int_equal(wait_for_end(t), 1);
}

static void others_are_refused_meanwhile(void **state)
{
	struct spooled *t = *state;

	begin(t);
	stream_next(&t->f.w, 0);
	assert_int_equal(op_wait(&t->f.w.op), -EBUSY);
	source_put(&t->f.src, "x");
	assert_int_equal(wait_until(t, 0), 0);
	check_file(t, "x", 1);
}

static void a_stream_that_someone_reads_is_refused(void **state)
{
	struct spooled *t = *state;
	struct err err = {0};

	stream_next(&t->f.w, CLOCK_NEVER);
	assert_null(spool_file_new(t->f.loop, t->f.src.stream, t->path, &err));
	assert_int_equal(err.code, -EBUSY);
	assert_int_equal(access(t->path, F_OK), -1);
}

static void a_file_that_cannot_be_made_is_refused(void **state)
{
	struct spooled *t = *state;
	struct err err = {0};

	assert_null(spool_file_new(t->f.loop, t->f.src.stream,
				   "/nonexistent/dir/out", &err));
	assert_int_equal(err.code, -ENOENT);
	assert_string_equal(err.text,
			    "cannot create '/nonexistent/dir/out' on the "
			    "host: No such file or directory");
}

static void a_full_disk_is_the_error(void **state)
{
	struct spooled *t = *state;
	struct err err = {0};

	t->sp = spool_file_new(t->f.loop, t->f.src.stream, "/dev/full", &err);
	assert_non_null(t->sp);
	source_put(&t->f.src, "too much");
	assert_int_equal(wait_for_end(t), -ENOSPC);
	assert_string_equal(t->op.err.text,
			    "cannot write '/dev/full' on the host: No space "
			    "left on device");
	assert_true(spool_file_is_over(t->sp));
	assert_int_equal(spool_file_error(t->sp)->code, -ENOSPC);
	assert_int_equal(spool_file_written(t->sp), 0);
	/* The stream itself is as it was. */
	source_put(&t->f.src, "more");
	check_next(&t->f, "more");
}

static void a_waiter_is_told_of_a_full_disk(void **state)
{
	struct spooled *t = *state;
	struct err err = {0};

	t->sp = spool_file_new(t->f.loop, t->f.src.stream, "/dev/full", &err);
	assert_non_null(t->sp);
	spool_file_wait(t->sp, &t->op, clock_deadline_ns(60 * NS_PER_SEC));
	assert_false(op_is_done(&t->op));
	source_put(&t->f.src, "too much");
	assert_int_equal(op_wait(&t->op), -ENOSPC);
}

static void a_stream_that_breaks_says_so_and_leaves_what_came(void **state)
{
	struct spooled *t = *state;
	struct err err;

	begin(t);
	source_put(&t->f.src, "came");
	err_set(&err, -EIO, "the cable was cut");
	stream_end(t->f.src.stream, &err);
	assert_int_equal(wait_for_end(t), -EIO);
	assert_string_equal(t->op.err.text, "the cable was cut");
	check_file(t, "came", 4);
	/* Nothing is wrong with the file. */
	assert_null(spool_file_error(t->sp));
}

/* --- pipes ---------------------------------------------------------------- */

static int open_pipe(struct spooled *t)
{
	assert_int_equal(mkfifo(t->path, 0600), 0);
	int fd = open(t->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	begin(t);
	return fd;
}

static void a_pipe_that_is_full_holds_up_the_source(void **state)
{
	struct spooled *t = *state;
	size_t n = 3 << 20, at = 0, got = 0;
	uint8_t *p = noise(n), *back = mem_alloc(n);
	int fd = open_pipe(t);

	/* Without a reader at work it comes to a stop. */
	for (int i = 0; i < 1000; i++) {
		at += source_put_windowed(&t->f.src, p + at, n - at);
		loop_poll(t->f.loop);
	}
	assert_true(at < n);
	while (got < n) {
		ssize_t k = read(fd, back + got, n - got);

		if (k > 0)
			got += (size_t)k;
		at += source_put_windowed(&t->f.src, p + at, n - at);
		loop_poll(t->f.loop);
	}
	assert_memory_equal(back, p, n);
	stream_end(t->f.src.stream, NULL);
	assert_int_equal(wait_for_end(t), 1);
	close(fd);
	free(back);
	free(p);
}

static void a_reader_that_goes_away_is_an_error_and_no_signal(void **state)
{
	struct spooled *t = *state;
	int fd = open_pipe(t);

	close(fd);
	source_put(&t->f.src, "for nobody");
	assert_int_equal(wait_for_end(t), -EPIPE);
	check_contains(t->op.err.text, "/out' on the host: Broken pipe");
}

static void a_pipe_without_a_reader_is_refused(void **state)
{
	struct spooled *t = *state;
	struct err err = {0};

	assert_int_equal(mkfifo(t->path, 0600), 0);
	assert_null(spool_file_new(t->f.loop, t->f.src.stream, t->path, &err));
	assert_int_equal(err.code, -ENXIO);
}

/* --- going away ------------------------------------------------------------
 */

static void giving_up_the_wait_leaves_the_writing(void **state)
{
	struct spooled *t = *state;

	begin(t);
	spool_file_wait(t->sp, &t->op, CLOCK_NEVER);
	op_cancel(&t->op);
	source_put(&t->f.src, "still");
	stream_end(t->f.src.stream, NULL);
	assert_int_equal(wait_for_end(t), 1);
	check_file(t, "still", 5);
}

static void freeing_it_cancels_a_wait_and_leaves_what_is_pending(void **state)
{
	struct spooled *t = *state;

	begin(t);
	spool_file_wait(t->sp, &t->op, CLOCK_NEVER);
	t->sp = spool_file_free(t->sp);
	assert_int_equal(op_wait(&t->op), -ECANCELED);
	source_put(&t->f.src, "mine");
	check_next(&t->f, "mine");
}

static void a_stream_closed_under_it_is_no_end(void **state)
{
	struct spooled *t = *state;

	begin(t);
	spool_file_wait(t->sp, &t->op, CLOCK_NEVER);
	stream_close(t->f.src.stream);
	assert_int_equal(op_wait(&t->op), 0);
	assert_true(spool_file_is_over(t->sp));
}

static void a_stream_freed_under_it_does_no_harm(void **state)
{
	struct spooled *t = *state;

	begin(t);
	spool_file_wait(t->sp, &t->op, CLOCK_NEVER);
	t->f.src.stream = stream_free(t->f.src.stream);
	assert_int_equal(op_wait(&t->op), 0);
	spool_file_finish(t->sp);
}

/* --- records --------------------------------------------------------------
 */

static void put_record(struct spooled *t, uint64_t hole, uint64_t n,
		       const char *data)
{
	uint8_t record[SPARSE_HEADER + 64];

	sparse_encode(record, hole, n);
	memcpy(record + SPARSE_HEADER, data, strlen(data));
	source_put_bytes(&t->f.src, record, SPARSE_HEADER + strlen(data),
			 false);
}

static int end_of_records(struct spooled *t)
{
	stream_end(t->f.src.stream, NULL);
	return wait_for_end(t);
}

static void holes_are_left_out_of_the_file(void **state)
{
	const uint64_t hole = UINT64_C(1) << 31;
	struct spooled *t = *state;
	struct stat st;

	begin_with(t, spool_file_new_sparse);
	put_record(t, 0, 5, "begin");
	put_record(t, hole, 0, "");
	put_record(t, 0, 3, "end");
	put_record(t, hole, 0, "");
	assert_int_equal(end_of_records(t), 1);
	assert_null(spool_file_error(t->sp));
	assert_int_equal(spool_file_written(t->sp), 8);
	assert_int_equal(stat(t->path, &st), 0);
	assert_int_equal(st.st_size, 8 + 2 * hole);
	assert_true(st.st_blocks < 4096);
}

static void records_that_break_off_are_an_error(void **state)
{
	struct spooled *t = *state;

	begin_with(t, spool_file_new_sparse);
	put_record(t, 2, 5, "beg");
	assert_int_equal(end_of_records(t), -EPROTO);
	assert_int_equal(spool_file_error(t->sp)->code, -EPROTO);
	check_file(t, "\0\0beg", 5);
}

/* Of a guest that means harm: no file is as long. */
static void a_hole_without_end_is_an_error(void **state)
{
	static const uint64_t holes[] = {UINT64_MAX, INT64_MAX};

	for (size_t i = 0; i < ARRAY_LEN(holes); i++) {
		struct spooled *t = *state;

		begin_with(t, spool_file_new_sparse);
		put_record(t, holes[i], 0, "");
		put_record(t, 1, 0, "");
		assert_true(end_of_records(t) < 0);
		assert_non_null(spool_file_error(t->sp));
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(what_is_pending_is_written_then_what_arrives),
	    T(what_is_left_of_a_match_is_the_beginning),
	    T(a_file_that_is_there_is_truncated),
	    T(megabytes_pass_a_small_window),
	    T(a_long_backlog_is_written_over_several_turns),
	    T(finishing_writes_all_that_arrived),
	    T(finishing_notes_an_end_that_has_come),
	    T(others_are_refused_meanwhile),
	    T(a_stream_that_someone_reads_is_refused),
	    T(a_file_that_cannot_be_made_is_refused),
	    T(a_full_disk_is_the_error),
	    T(a_waiter_is_told_of_a_full_disk),
	    T(a_stream_that_breaks_says_so_and_leaves_what_came),
	    T(a_pipe_that_is_full_holds_up_the_source),
	    T(a_reader_that_goes_away_is_an_error_and_no_signal),
	    T(a_pipe_without_a_reader_is_refused),
	    T(giving_up_the_wait_leaves_the_writing),
	    T(freeing_it_cancels_a_wait_and_leaves_what_is_pending),
	    T(a_stream_closed_under_it_is_no_end),
	    T(a_stream_freed_under_it_does_no_harm),
	    T(holes_are_left_out_of_the_file),
	    T(records_that_break_off_are_an_error),
	    T(a_hole_without_end_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
