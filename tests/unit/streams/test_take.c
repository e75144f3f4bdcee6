/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "tests/unit/streams/lib_source.h"

static int take_now(struct fixture *f, size_t n)
{
	stream_take(&f->w, "packets", n, 0);
	return op_wait(&f->w.op);
}

static void take_gives_exactly_what_was_asked_for(void **state)
{
	struct fixture *f = *state;

	source_put(&f->src, "abc");
	source_put(&f->src, "defgh");
	assert_int_equal(take_now(f, 4), 4);
	check_bytes(&f->w.bytes, "abcd");
	assert_int_equal(f->src.consumed, 4);
	assert_int_equal(take_now(f, 0), 0);
	check_bytes(&f->w.bytes, "");
	/* What is left of a frame stays one. */
	check_next(f, "efgh");
	assert_int_equal(stream_taken(f->src.stream), 8);
}

static void take_waits_for_the_last_byte(void **state)
{
	struct fixture *f = *state;

	stream_take(&f->w, "packets", 5, CLOCK_NEVER);
	source_put(&f->src, "ab");
	source_put_bytes(&f->src, "cd", 2, true);
	assert_false(op_is_done(&f->w.op));
	source_put_bytes(&f->src, "ef", 2, true);
	assert_int_equal(op_wait(&f->w.op), 5);
	check_bytes(&f->w.bytes, "abcde");
	/* A part of a frame is not handed out as one. */
	check_next(f, NULL);
	source_put_bytes(&f->src, "", 0, false);
	check_next(f, "f");
}

static void take_brings_on_more_than_the_window(void **state)
{
	struct fixture *f = *state;
	size_t n = 1 << 20, sent = 0;
	uint8_t *p = mem_alloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 251);
	f->src.window = 4000;
	stream_take(&f->w, "packets", n - 3, CLOCK_NEVER);
	while (sent < n) {
		size_t k = source_put_windowed(&f->src, p + sent, n - sent);

		assert_true(k > 0);
		sent += k;
	}
	assert_int_equal(op_wait(&f->w.op), n - 3);
	assert_int_equal(f->w.bytes.len, n - 3);
	assert_memory_equal(buf_data(&f->w.bytes), p, n - 3);
	assert_int_equal(take_now(f, 3), 3);
	assert_memory_equal(buf_data(&f->w.bytes), p + n - 3, 3);
	assert_int_equal(f->src.consumed, n);
	free(p);
}

static void take_loses_nothing_by_a_timeout(void **state)
{
	struct fixture *f = *state;

	source_put(&f->src, "abc");
	assert_int_equal(take_now(f, 16), -ETIMEDOUT);
	assert_string_equal(f->w.op.err.text,
			    "packets timed out: 3 of 16 bytes there");
	assert_int_equal(f->w.bytes.len, 0);
	assert_int_equal(stream_taken(f->src.stream), 0);
	assert_int_equal(take_now(f, 3), 3);
	check_bytes(&f->w.bytes, "abc");
}

static void take_gets_the_rest_at_the_end(void **state)
{
	struct fixture *f = *state;

	stream_take(&f->w, "packets", 5, CLOCK_NEVER);
	source_put(&f->src, "abc");
	stream_end(f->src.stream, NULL);
	assert_int_equal(op_wait(&f->w.op), 3);
	check_bytes(&f->w.bytes, "abc");
	assert_true(stream_eof(f->src.stream));
	assert_int_equal(take_now(f, 5), 0);
	stream_close(f->src.stream);
	assert_int_equal(take_now(f, 5), 0);
}

static void
take_of_a_broken_stream_fails_only_when_too_little_is_there(void **state)
{
	struct fixture *f = *state;
	struct err err;

	source_put(&f->src, "abcd");
	err_set(&err, -EIO, "the cable was cut");
	stream_end(f->src.stream, &err);
	assert_int_equal(take_now(f, 2), 2);
	check_bytes(&f->w.bytes, "ab");
	assert_int_equal(take_now(f, 3), -EIO);
	assert_string_equal(f->w.op.err.text, "the cable was cut");
	check_next(f, "cd");
	assert_int_equal(take_now(f, 1), -EIO);
}

static void take_refuses_more_than_can_be_held(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(take_now(f, STREAM_TAKE_MAX + 1), -EINVAL);
	check_contains(f->w.op.err.text, "packets: 134217729 bytes");
}

static void close_ends_a_take_without_bytes(void **state)
{
	struct fixture *f = *state;

	stream_take(&f->w, "packets", 5, CLOCK_NEVER);
	source_put(&f->src, "abc");
	stream_close(f->src.stream);
	assert_int_equal(op_wait(&f->w.op), 0);
	assert_int_equal(f->w.bytes.len, 0);
}

#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(take_gives_exactly_what_was_asked_for),
	    T(take_waits_for_the_last_byte),
	    T(take_brings_on_more_than_the_window),
	    T(take_loses_nothing_by_a_timeout),
	    T(take_gets_the_rest_at_the_end),
	    T(take_of_a_broken_stream_fails_only_when_too_little_is_there),
	    T(take_refuses_more_than_can_be_held),
	    T(close_ends_a_take_without_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
