/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"
#include "tests/unit/streams/lib_source.h"

/* --- expect, read_until -----------------------------------------------------
 */

/* All ways to cut "xxlogin: yy" into two or three frames. */
static void a_match_is_found_at_every_border(void **state)
{
	static const char text[] = "xxlogin: yy";
	size_t n = sizeof(text) - 1;
	struct stream_pattern p = pat("login: ");
	struct fixture *f = *state;

	for (size_t a = 0; a <= n; a++) {
		for (size_t b = a; b <= n; b++) {
			stream_match(&f->w, "read_until", &p, 1, true,
				     CLOCK_NEVER);
			source_put_bytes(&f->src, text, a, false);
			source_put_bytes(&f->src, text + a, b - a, false);
			source_put_bytes(&f->src, text + b, n - b, false);
			assert_int_equal(op_wait(&f->w.op), 0);
			check_bytes(&f->w.bytes, "xxlogin: ");
			stream_drain(&f->w, 0);
			assert_true(op_wait(&f->w.op) >= 1);
		}
	}
	assert_int_equal(f->src.consumed, f->src.delivered);
}

static void bytes_past_a_match_are_the_next_frame(void **state)
{
	struct stream_pattern p = pat("lo");
	struct fixture *f = *state;

	source_put(&f->src, "hello world");
	source_put(&f->src, "more");
	assert_int_equal(match_now(f, &p, false), 0);
	assert_int_equal(f->w.bytes.len, 0);
	check_next(f, " world");
	check_next(f, "more");
}

static void a_match_that_ends_a_frame_leaves_no_empty_one(void **state)
{
	struct stream_pattern p = pat("lo");
	struct fixture *f = *state;

	source_put(&f->src, "he");
	source_put(&f->src, "llo");
	source_put(&f->src, "more");
	p = pat("ello");
	assert_int_equal(match_now(f, &p, true), 0);
	check_bytes(&f->w.bytes, "hello");
	check_next(f, "more");
	check_next(f, NULL);
}

static void what_is_left_of_an_open_frame_is_joined_to_its_rest(void **state)
{
	struct stream_pattern p = pat("lo");
	struct fixture *f = *state;

	source_put_bytes(&f->src, "hello wo", 8, true);
	assert_int_equal(match_now(f, &p, false), 0);
	check_next(f, NULL);
	source_put_bytes(&f->src, "rld", 3, false);
	check_next(f, " world");

	/* Nothing is left: the rest is a frame of its own. */
	source_put_bytes(&f->src, "hello", 5, true);
	assert_int_equal(match_now(f, &p, false), 0);
	source_put_bytes(&f->src, "rest", 4, false);
	check_next(f, "rest");
}

static void of_several_patterns_the_first_to_end_wins(void **state)
{
	const struct stream_pattern pats[] = {pat("login:"), pat("panic"),
					      pat("nic")};
	struct fixture *f = *state;

	stream_match(&f->w, "expect", pats, 3, true, CLOCK_NEVER);
	source_put(&f->src, "pan");
	source_put(&f->src, "ic login:");
	assert_int_equal(op_wait(&f->w.op), 0);
	assert_int_equal(f->w.index, 1);
	check_bytes(&f->w.bytes, "panic");
	stream_match(&f->w, "expect", pats, 3, false, CLOCK_NEVER);
	assert_int_equal(op_wait(&f->w.op), 0);
	assert_int_equal(f->w.index, 0);
}

static void a_timeout_names_the_pattern_and_the_last_bytes(void **state)
{
	struct stream_pattern p = pat("ready\n");
	struct fixture *f = *state;

	source_put(&f->src, "start");
	source_put(&f->src, "ing\r\n\x01");
	assert_int_equal(match_now(f, &p, false), -ETIMEDOUT);
	assert_string_equal(f->w.op.err.text,
			    "expect timed out waiting for `ready\\n`; "
			    "last bytes: \"starting\\r\\n\\x01\"");
	assert_int_equal(match_now(f, &p, true), -ETIMEDOUT);
	check_contains(f->w.op.err.text,
		       "read_until timed out waiting for `ready\\n`");
}

static void a_timeout_shows_two_hundred_bytes_whatever_they_are(void **state)
{
	struct stream_pattern p = pat("nowhere");
	struct fixture *f = *state;
	uint8_t zeros[1000] = {0};
	const char *at;
	size_t n = 0;

	source_put_bytes(&f->src, zeros, sizeof(zeros), false);
	assert_int_equal(match_now(f, &p, false), -ETIMEDOUT);
	for (at = f->w.op.err.text; (at = strstr(at, "\\x00")); at += 4)
		n++;
	assert_int_equal(n, STREAM_EXCERPT_MAX);
}

static void a_list_of_patterns_is_named_in_a_timeout(void **state)
{
	const struct stream_pattern pats[] = {pat("a"), pat("b"), pat("c")};
	struct fixture *f = *state;

	stream_match(&f->w, "expect", pats, 3, false, 0);
	assert_int_equal(op_wait(&f->w.op), -ETIMEDOUT);
	assert_string_equal(f->w.op.err.text,
			    "expect timed out waiting for `a`, `b` or `c`; "
			    "nothing is pending");
}

/* At each position of a stream that comes byte by byte. */
static void a_timeout_loses_nothing_wherever_it_falls(void **state)
{
	static const char text[] = "some text, then ready";
	size_t n = sizeof(text) - 1;
	struct stream_pattern p = pat("ready"), q = pat("never");
	struct fixture *f = *state;

	for (size_t cut = 0; cut <= n; cut++) {
		for (size_t i = 0; i < n; i++) {
			if (i == cut)
				assert_int_equal(match_now(f, &q, cut & 1),
						 -ETIMEDOUT);
			source_put_bytes(&f->src, text + i, 1, false);
		}
		assert_int_equal(match_now(f, &p, true), 0);
		check_bytes(&f->w.bytes, text);
		assert_int_equal(f->src.consumed, f->src.delivered);
	}
}

static void a_cancelled_wait_has_taken_nothing(void **state)
{
	static const char *const all[] = {"abc", "def"};
	struct stream_pattern p = pat("never");
	struct fixture *f = *state;

	stream_match(&f->w, "expect", &p, 1, true, CLOCK_NEVER);
	source_put(&f->src, "abc");
	op_cancel(&f->w.op);
	assert_int_equal(f->w.op.result, -ECANCELED);
	stream_drain(&f->w, CLOCK_NEVER);
	source_put(&f->src, "def");
	op_cancel(&f->w.op);
	assert_int_equal(f->w.op.result, -ECANCELED);
	check_drain(f, all, 2);
	assert_int_equal(f->src.consumed, 6);
}

static void bytes_paid_for_while_searching_are_not_paid_for_again(void **state)
{
	struct stream_pattern p = pat("never"), q = pat("4");
	struct fixture *f = *state;

	stream_match(&f->w, "expect", &p, 1, false, CLOCK_NEVER);
	source_put(&f->src, "1234");
	assert_int_equal(f->src.consumed, 4);
	op_cancel(&f->w.op);
	source_put(&f->src, "5678");
	assert_int_equal(f->src.consumed, 4);
	assert_int_equal(match_now(f, &q, false), 0);
	assert_int_equal(f->src.consumed, 4);
	check_next(f, "5678");
	assert_int_equal(f->src.consumed, 8);
}

static void without_a_reader_only_the_window_comes(void **state)
{
	struct stream_pattern p = pat("never"), q = pat("END");
	struct fixture *f = *state;
	static uint8_t bytes[100000];
	uint64_t before;

	assert_true(source_put_windowed(&f->src, bytes, 100000) == 100000);
	source_put_windowed(&f->src, bytes, 100000);
	assert_int_equal(source_put_windowed(&f->src, bytes, 100000), 62144);
	assert_int_equal(source_put_windowed(&f->src, bytes, 100000), 0);
	/* A search lets more come, for as long as it lasts. */
	stream_match(&f->w, "expect", &p, 1, false, CLOCK_NEVER);
	for (int i = 0; i < 50; i++)
		assert_int_equal(source_put_windowed(&f->src, bytes, 100000),
				 100000);
	op_cancel(&f->w.op);
	before = f->src.delivered;
	for (int i = 0; i < 50; i++)
		source_put_windowed(&f->src, bytes, 100000);
	assert_int_equal(f->src.delivered - before, f->src.window);
	stream_match(&f->w, "expect", &q, 1, false, CLOCK_NEVER);
	source_put(&f->src, "END");
	assert_int_equal(op_wait(&f->w.op), 0);
	assert_int_equal(f->src.consumed, f->src.delivered);
}

static void bad_patterns_are_refused(void **state)
{
	struct stream_pattern p = {(const uint8_t *)"", 0};
	struct stream_pattern long_one = {(const uint8_t *)"",
					  STREAM_PATTERN_MAX + 1};
	struct fixture *f = *state;

	assert_int_equal(match_now(f, &p, false), -EINVAL);
	assert_string_equal(f->w.op.err.text, "expect: the pattern is empty");
	assert_int_equal(match_now(f, &long_one, false), -EINVAL);
	stream_match(&f->w, "expect", &p, 0, false, 0);
	assert_int_equal(op_wait(&f->w.op), -EINVAL);
	stream_match(&f->w, "expect", &p, STREAM_PATTERNS_MAX + 1, false, 0);
	assert_int_equal(op_wait(&f->w.op), -EINVAL);
	check_contains(f->w.op.err.text, "65 patterns");
}

static void a_second_waiter_is_refused(void **state)
{
	struct fixture *f = *state;
	struct stream_wait other;

	stream_wait_init(&other, f->src.stream);
	stream_next(&f->w, CLOCK_NEVER);
	stream_next(&other, CLOCK_NEVER);
	assert_int_equal(op_wait(&other.op), -EBUSY);
	check_contains(other.op.err.text, "/var/log/x");
	stream_wait_done(&other);
	source_put(&f->src, "x");
	assert_int_equal(op_wait(&f->w.op), 1);
}

/* --- linearity ---------------------------------------------------------------
 */

static void scanning_is_linear_in_the_bytes_received(void **state)
{
	static const size_t frames[] = {1, 100, 65536};
	struct stream_pattern pats[7] = {
	    pat("ab"),
	    pat("aaaaaab"),
	    pat("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"),
	    pat("b"),
	    pat("cab"),
	    pat("zz"),
	    pat("y")};
	struct fixture *f = *state;
	size_t total = 1 << 20;
	uint8_t *bytes = mem_alloc(total);

	memset(bytes, 'a', total);
	for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
		for (size_t count = 1; count <= 7; count += 3) {
			uint64_t work = stream_work(f->src.stream);

			stream_match(&f->w, "expect", pats, count, false,
				     CLOCK_NEVER);
			for (size_t at = 0; at < total; at += frames[i])
				source_put_bytes(&f->src, bytes + at,
						 total - at < frames[i]
						     ? total - at
						     : frames[i],
						 false);
			assert_false(op_is_done(&f->w.op));
			source_put(&f->src, "ab");
			assert_int_equal(op_wait(&f->w.op), 0);
			work = stream_work(f->src.stream) - work;
			assert_true(work >= total);
			assert_true(work <= 4 * count * total);
		}
	}
	free(bytes);
}

static void a_million_small_frames_are_taken_one_by_one(void **state)
{
	struct fixture *f = *state;
	size_t n = 1000000;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)(i * 7);
		source_put_bytes(&f->src, &c, 1, false);
	}
	for (size_t i = 0; i < n; i++) {
		stream_next(&f->w, CLOCK_NEVER);
		assert_int_equal(f->w.op.result, 1);
		assert_int_equal(f->w.bytes.len, 1);
		assert_int_equal(*buf_data(&f->w.bytes), (uint8_t)(i * 7));
	}
	assert_int_equal(f->src.consumed, n);
}

/* A backlog of short lines, taken line by line with a pattern beside it that
 * never comes. */
static void near_matches_in_a_long_backlog_cost_what_they_take(void **state)
{
	const struct stream_pattern pats[] = {pat("panic"), pat("\n"),
					      pat("oops"), pat("BUG:")};
	struct fixture *f = *state;
	size_t total = 4 << 20, line = 64;
	uint8_t *bytes = mem_alloc(total);

	for (size_t i = 0; i < total; i++)
		bytes[i] = i % line == line - 1 ? '\n' : 'x';
	for (size_t count = 2; count <= 4; count++) {
		uint64_t work = stream_work(f->src.stream);

		source_put_bytes(&f->src, bytes, total, false);
		for (size_t i = 0; i < total / line; i++) {
			stream_match(&f->w, "read_until", pats, count, true,
				     CLOCK_NEVER);
			assert_int_equal(f->w.op.result, 0);
			assert_int_equal(f->w.bytes.len, line);
		}
		work = stream_work(f->src.stream) - work;
		assert_true(work <= 16 * count * total);
	}
	free(bytes);
}

#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_match_is_found_at_every_border),
	    T(bytes_past_a_match_are_the_next_frame),
	    T(a_match_that_ends_a_frame_leaves_no_empty_one),
	    T(what_is_left_of_an_open_frame_is_joined_to_its_rest),
	    T(of_several_patterns_the_first_to_end_wins),
	    T(a_timeout_names_the_pattern_and_the_last_bytes),
	    T(a_timeout_shows_two_hundred_bytes_whatever_they_are),
	    T(a_list_of_patterns_is_named_in_a_timeout),
	    T(a_timeout_loses_nothing_wherever_it_falls),
	    T(a_cancelled_wait_has_taken_nothing),
	    T(bytes_paid_for_while_searching_are_not_paid_for_again),
	    T(without_a_reader_only_the_window_comes),
	    T(bad_patterns_are_refused),
	    T(a_second_waiter_is_refused),
	    T(scanning_is_linear_in_the_bytes_received),
	    T(near_matches_in_a_long_backlog_cost_what_they_take),
	    T(a_million_small_frames_are_taken_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
