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

/* --- next, drain, frames -------------------------------------------------- */

static void next_gives_the_frames_as_they_were_delivered(void **state)
{
	struct fixture *f = *state;

	source_put(&f->src, "one");
	source_put(&f->src, "t");
	source_put(&f->src, "");
	source_put(&f->src, "three\n");
	assert_int_equal(f->src.consumed, 0);
	check_next(f, "one");
	assert_int_equal(f->src.consumed, 3);
	check_next(f, "t");
	check_next(f, "three\n");
	check_next(f, NULL);
	assert_int_equal(f->src.consumed, f->src.delivered);
	assert_int_equal(stream_bytes(f->src.stream), 10);
	assert_int_equal(stream_taken(f->src.stream), 10);
}

static void next_waits_for_a_frame(void **state)
{
	struct fixture *f = *state;

	stream_next(&f->w, CLOCK_NEVER);
	assert_false(op_is_done(&f->w.op));
	source_put(&f->src, "late");
	assert_true(op_is_done(&f->w.op));
	check_bytes(&f->w.bytes, "late");
}

static void pieces_of_one_write_are_one_frame(void **state)
{
	struct fixture *f = *state;

	source_put_bytes(&f->src, "ab", 2, true);
	check_next(f, NULL);
	check_drain(f, NULL, 0);
	source_put_bytes(&f->src, "cd", 2, true);
	source_put_bytes(&f->src, "e", 1, false);
	source_put(&f->src, "f");
	check_next(f, "abcde");
	check_next(f, "f");
}

static void a_write_of_unknown_length_may_end_without_bytes(void **state)
{
	struct fixture *f = *state;

	source_put_bytes(&f->src, "ab", 2, true);
	source_put_bytes(&f->src, "", 0, false);
	check_next(f, "ab");
	source_put_bytes(&f->src, "", 0, true);
	source_put_bytes(&f->src, "c", 1, false);
	source_put(&f->src, "d");
	check_next(f, "c");
	check_next(f, "d");
}

static void the_end_completes_a_frame(void **state)
{
	struct fixture *f = *state;

	source_put_bytes(&f->src, "ab", 2, true);
	stream_end(f->src.stream, NULL);
	assert_false(stream_eof(f->src.stream));
	check_next(f, "ab");
	assert_true(stream_eof(f->src.stream));
	check_next(f, NULL);
}

static void a_frame_is_cut_at_the_limit(void **state)
{
	struct fixture *f = *state;
	size_t n = STREAM_FRAME_MAX + 5;
	uint8_t *p = mem_zalloc(n);

	source_put_bytes(&f->src, p, 3, true);
	source_put_bytes(&f->src, p, n, true);
	stream_next(&f->w, 0);
	assert_int_equal(op_wait(&f->w.op), 1);
	assert_int_equal(f->w.bytes.len, STREAM_FRAME_MAX);
	check_next(f, NULL);
	source_put_bytes(&f->src, p, 1, false);
	stream_next(&f->w, 0);
	assert_int_equal(op_wait(&f->w.op), 1);
	assert_int_equal(f->w.bytes.len, 9);
	free(p);
}

static void a_frame_longer_than_the_window_gets_through(void **state)
{
	struct fixture *f = *state;
	uint8_t piece[1000] = {0};

	f->src.window = 4000;
	stream_next(&f->w, CLOCK_NEVER);
	for (int i = 0; i < 100; i++) {
		assert_true(f->src.delivered - f->src.consumed <= 3000);
		source_put_bytes(&f->src, piece, sizeof(piece), i < 99);
	}
	assert_int_equal(op_wait(&f->w.op), 1);
	assert_int_equal(f->w.bytes.len, 100000);
	assert_int_equal(f->src.consumed, 100000);
}

static void next_with_skip_takes_nothing_before_its_frame_is_there(void **state)
{
	struct fixture *f = *state;

	f->w.skip = 1;
	source_put(&f->src, "head");
	check_next(f, NULL);
	assert_int_equal(stream_taken(f->src.stream), 0);
	stream_next(&f->w, CLOCK_NEVER);
	source_put_bytes(&f->src, "bo", 2, true);
	assert_false(op_is_done(&f->w.op));
	source_put_bytes(&f->src, "dy", 2, false);
	assert_int_equal(op_wait(&f->w.op), 1);
	check_bytes(&f->w.bytes, "body");
	assert_int_equal(stream_taken(f->src.stream), 8);
	assert_int_equal(f->src.consumed, 8);
}

static void next_with_skip_drops_what_it_skips_at_the_end(void **state)
{
	struct fixture *f = *state;

	f->w.skip = 2;
	source_put(&f->src, "head");
	stream_next(&f->w, CLOCK_NEVER);
	stream_end(f->src.stream, NULL);
	assert_int_equal(op_wait(&f->w.op), 0);
	check_bytes(&f->w.bytes, "");
	assert_true(stream_eof(f->src.stream));
	assert_int_equal(stream_taken(f->src.stream), 4);
}

static void a_held_next_with_skip_takes_all_or_nothing(void **state)
{
	struct fixture *f = *state;

	f->w.skip = 1;
	f->w.hold = true;
	source_put(&f->src, "head");
	source_put(&f->src, "body");
	stream_next(&f->w, 0);
	assert_int_equal(op_wait(&f->w.op), 1);
	assert_int_equal(stream_taken(f->src.stream), 0);
	stream_next(&f->w, 0);
	assert_int_equal(op_wait(&f->w.op), 1);
	stream_wait_accept(&f->w);
	check_bytes(&f->w.bytes, "body");
	assert_int_equal(stream_taken(f->src.stream), 8);
}

static void a_frame_is_cut_while_its_rest_is_next(void **state)
{
	struct stream_pattern p = pat("b"), q = pat("d");
	struct fixture *f = *state;

	source_put(&f->src, "abc");
	source_put(&f->src, "d");
	source_put(&f->src, "e");
	assert_false(stream_is_cut(f->src.stream));
	assert_int_equal(match_now(f, &p, false), 0);
	assert_true(stream_is_cut(f->src.stream));
	check_next(f, "c");
	assert_false(stream_is_cut(f->src.stream));
	assert_int_equal(match_now(f, &q, false), 0);
	assert_false(stream_is_cut(f->src.stream));
	check_next(f, "e");
}

static void drain_takes_everything_frame_by_frame(void **state)
{
	static const char *const want[] = {"b", "cc", "d"};
	struct stream_pattern p = pat("a");
	struct fixture *f = *state;

	source_put(&f->src, "ab");
	source_put(&f->src, "cc");
	assert_int_equal(match_now(f, &p, false), 0);
	stream_drain(&f->w, clock_deadline_ns(20 * NS_PER_MS));
	source_put(&f->src, "d");
	source_put_bytes(&f->src, "half", 4, true);
	assert_int_equal(op_wait(&f->w.op), 3);
	for (size_t i = 0; i < 3; i++)
		check_bytes(&f->w.frames[i], want[i]);
	stream_end(f->src.stream, NULL);
	check_next(f, "half");
}

static void drain_ends_early_only_at_the_end(void **state)
{
	struct fixture *f = *state;

	stream_drain(&f->w, CLOCK_NEVER);
	source_put(&f->src, "x");
	assert_false(op_is_done(&f->w.op));
	stream_end(f->src.stream, NULL);
	assert_true(op_is_done(&f->w.op));
	assert_int_equal(f->w.op.result, 1);
	check_drain(f, NULL, 0);
}

static void a_drain_lets_the_source_go_on(void **state)
{
	struct fixture *f = *state;

	stream_drain(&f->w, CLOCK_NEVER);
	source_put(&f->src, "x");
	assert_int_equal(f->src.consumed, 1);
	assert_int_equal(stream_taken(f->src.stream), 0);
	stream_end(f->src.stream, NULL);
	assert_int_equal(f->src.consumed, 1);
	assert_int_equal(stream_taken(f->src.stream), 1);
}

/* --- ends --------------------------------------------------------------------
 */

static void eof_fails_a_search_and_keeps_the_bytes(void **state)
{
	struct stream_pattern p = pat("ready");
	struct fixture *f = *state;

	stream_match(&f->w, "expect", &p, 1, false, CLOCK_NEVER);
	source_put(&f->src, "rea");
	stream_end(f->src.stream, NULL);
	assert_int_equal(op_wait(&f->w.op), -EPIPE);
	assert_string_equal(
	    f->w.op.err.text,
	    "stream EOF: expect was waiting for `ready`; last bytes: "
	    "\"rea\"");
	assert_false(stream_eof(f->src.stream));
	check_next(f, "rea");
	assert_true(stream_eof(f->src.stream));
	assert_int_equal(match_now(f, &p, true), -EPIPE);
	check_contains(f->w.op.err.text, "stream EOF: read_until");
}

static void a_match_before_the_end_is_still_found_after_it(void **state)
{
	struct stream_pattern p = pat("a");
	struct fixture *f = *state;
	struct err err;

	err_set(&err, -EIO, "the guest is gone");
	source_put(&f->src, "xay");
	stream_end(f->src.stream, &err);
	stream_end(f->src.stream, NULL);
	source_put_bytes(&f->src, "", 0, false);
	assert_int_equal(match_now(f, &p, false), 0);
	check_next(f, "y");
	assert_int_equal(match_now(f, &p, false), -EIO);
	stream_next(&f->w, CLOCK_NEVER);
	assert_int_equal(op_wait(&f->w.op), -EIO);
	stream_drain(&f->w, CLOCK_NEVER);
	assert_int_equal(op_wait(&f->w.op), -EIO);
	assert_string_equal(f->w.op.err.text, "the guest is gone");
}

static void a_broken_stream_fails_any_waiter_at_once(void **state)
{
	struct stream_pattern p = pat("never");
	struct err err;

	(void)state;
	err_set(&err, -EIO, "the guest is gone");
	for (int mode = 0; mode < 3; mode++) {
		struct fixture f;

		fixture_open(&f, STREAM_TAIL);
		source_put_bytes(&f.src, "part", 4, true);
		if (mode == 0)
			stream_next(&f.w, CLOCK_NEVER);
		else if (mode == 1)
			stream_drain(&f.w, CLOCK_NEVER);
		else
			stream_match(&f.w, "expect", &p, 1, true, CLOCK_NEVER);
		stream_end(f.src.stream, &err);
		assert_true(op_is_done(&f.w.op));
		assert_int_equal(f.w.op.result, -EIO);
		assert_string_equal(f.w.op.err.text, "the guest is gone");
		check_next(&f, "part");
		stream_wait_done(&f.w);
		source_done(&f.src);
		loop_free(f.loop);
	}
}

static void close_at_each_step_ends_each_call(void **state)
{
	static const char *const closed[] = {"stream closed", "capture closed",
					     "console closed"};
	struct stream_pattern p = pat("zz");

	(void)state;
	for (int type = 0; type < 3; type++) {
		for (int step = 0; step < 6; step++) {
			struct fixture f;

			fixture_open(&f, (enum stream_type)type);
			if (step & 1)
				source_put_bytes(&f.src, "ab", 2, true);
			if (step / 2 == 0)
				stream_next(&f.w, CLOCK_NEVER);
			if (step / 2 == 1)
				stream_drain(&f.w, CLOCK_NEVER);
			if (step / 2 == 2)
				stream_match(&f.w, "expect", &p, 1, false,
					     CLOCK_NEVER);
			stream_close(f.src.stream);
			stream_close(f.src.stream);
			assert_true(op_is_done(&f.w.op));
			assert_int_equal(f.w.op.result,
					 step / 2 == 2 ? -ESHUTDOWN : 0);
			if (step / 2 == 2)
				assert_string_equal(f.w.op.err.text,
						    closed[type]);
			check_next(&f, NULL);
			check_drain(&f, NULL, 0);
			assert_int_equal(match_now(&f, &p, false), -ESHUTDOWN);
			assert_true(stream_eof(f.src.stream));
			assert_true(stream_is_closed(f.src.stream));
			source_put(&f.src, "late");
			assert_true(stream_eof(f.src.stream));
			stream_wait_done(&f.w);
			source_done(&f.src);
			loop_free(f.loop);
		}
	}
}

static void a_console_says_both_words_at_its_end(void **state)
{
	struct stream_pattern p = pat("x");
	struct fixture f;

	(void)state;
	fixture_open(&f, STREAM_CONSOLE);
	stream_end(f.src.stream, NULL);
	assert_int_equal(match_now(&f, &p, false), -EPIPE);
	check_contains(f.w.op.err.text, "console EOF");
	check_contains(f.w.op.err.text, "stream EOF");
	stream_wait_done(&f.w);
	source_done(&f.src);
	loop_free(f.loop);
}

static void freeing_a_stream_cancels_its_waiter(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, STREAM_TAIL);
	stream_next(&f.w, CLOCK_NEVER);
	source_done(&f.src);
	assert_int_equal(f.w.op.result, -ECANCELED);
	stream_wait_done(&f.w);
	loop_free(f.loop);
}

static void free_on_done(struct op *op, void *ctx)
{
	struct fixture *f = ctx;

	(void)op;
	source_done(&f->src);
}

static void a_waiter_may_free_the_stream_when_told(void **state)
{
	struct stream_pattern p = pat("x");
	struct err err;

	(void)state;
	err_set(&err, -EIO, "gone");
	for (int how = 0; how < 4; how++) {
		struct fixture f;

		fixture_open(&f, STREAM_TAIL);
		stream_match(&f.w, "expect", &p, 1, true,
			     how == 3 ? 0 : CLOCK_NEVER);
		f.w.op.on_done = free_on_done;
		f.w.op.done_ctx = &f;
		if (how == 0)
			source_put(&f.src, "x");
		if (how == 1)
			stream_end(f.src.stream, &err);
		if (how == 2)
			stream_close(f.src.stream);
		op_wait(&f.w.op);
		assert_int_equal(f.src.closed, 1);
		stream_wait_done(&f.w);
		loop_free(f.loop);
	}
}

static void the_list_holds_the_open_streams(void **state)
{
	struct fixture *f = *state;
	struct stream_list list = TAILQ_HEAD_INITIALIZER(list);
	struct source a, b;

	source_open(&a, f->loop, STREAM_TAIL, &list);
	source_open(&b, f->loop, STREAM_CAPTURE, &list);
	assert_ptr_equal(TAILQ_FIRST(&list), a.stream);
	assert_ptr_equal(stream_list_next(a.stream), b.stream);
	assert_null(stream_list_next(b.stream));
	assert_int_equal(stream_type(b.stream), STREAM_CAPTURE);
	assert_string_equal(stream_label(b.stream)->file, "a.test.lua");
	assert_int_equal(stream_label(b.stream)->line, 7);
	stream_close(a.stream);
	assert_ptr_equal(TAILQ_FIRST(&list), b.stream);
	source_done(&a);
	source_done(&b);
	assert_true(TAILQ_EMPTY(&list));
}

static void escaping_shows_the_last_bytes(void **state)
{
	struct buf out = {0};

	(void)state;
	stream_escape_tail(&out, "xa b\n\r\t\0\x7f\xff\\`", 12, 11);
	check_bytes(&out, "a b\\n\\r\\t\\x00\\x7f\\xff\\`");
	buf_done(&out);
}

/* --- a property
 * ---------------------------------------------------------------- */

/* Appends what the finished wait took. */
static void collect(struct buf *got, const struct stream_wait *w)
{
	buf_append(got, buf_data(&w->bytes), w->bytes.len);
	for (size_t i = 0; i < w->n_frames; i++)
		buf_append(got, buf_data(&w->frames[i]), w->frames[i].len);
}

static void random_call(struct fixture *f, const struct stream_pattern *p)
{
	switch (rand() % 3) {
	case 0:
		stream_next(&f->w, 0);
		break;
	case 1:
		stream_drain(&f->w, 0);
		break;
	default:
		stream_match(&f->w, "read_until", p, 1, true, 0);
	}
}

static void what_goes_in_comes_out_in_order(void **state)
{
	(void)state;
	srand(1);
	for (int round = 0; round < 60; round++) {
		struct buf in = {0}, out = {0};
		struct stream_pattern p = pat(round & 1 ? "aab" : "b");
		struct fixture f;

		fixture_open(&f, STREAM_TAIL);
		for (int i = 0; i < 80; i++) {
			static uint8_t bytes[9000];
			size_t n = (size_t)(rand() % (i % 9 ? 20 : 9000));

			for (size_t k = 0; k < n; k++)
				bytes[k] = (uint8_t)('a' + rand() % 2);
			buf_append(&in, bytes, n);
			if (i % 2)
				random_call(&f, &p);
			source_put_bytes(&f.src, bytes, n, rand() % 4 == 0);
			if (i % 2) {
				op_wait(&f.w.op);
				collect(&out, &f.w);
			}
		}
		stream_end(f.src.stream, NULL);
		stream_drain(&f.w, CLOCK_NEVER);
		op_wait(&f.w.op);
		collect(&out, &f.w);
		assert_int_equal(out.len, in.len);
		assert_memory_equal(buf_data(&out), buf_data(&in), in.len);
		assert_int_equal(f.src.consumed, f.src.delivered);
		assert_true(stream_eof(f.src.stream));
		buf_done(&in);
		buf_done(&out);
		stream_wait_done(&f.w);
		source_done(&f.src);
		loop_free(f.loop);
	}
}

#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(next_gives_the_frames_as_they_were_delivered),
	    T(next_waits_for_a_frame),
	    T(pieces_of_one_write_are_one_frame),
	    T(a_write_of_unknown_length_may_end_without_bytes),
	    T(the_end_completes_a_frame),
	    T(a_frame_is_cut_at_the_limit),
	    T(a_frame_longer_than_the_window_gets_through),
	    T(next_with_skip_takes_nothing_before_its_frame_is_there),
	    T(next_with_skip_drops_what_it_skips_at_the_end),
	    T(a_held_next_with_skip_takes_all_or_nothing),
	    T(a_frame_is_cut_while_its_rest_is_next),
	    T(drain_takes_everything_frame_by_frame),
	    T(drain_ends_early_only_at_the_end),
	    T(a_drain_lets_the_source_go_on),
	    T(eof_fails_a_search_and_keeps_the_bytes),
	    T(a_match_before_the_end_is_still_found_after_it),
	    cmocka_unit_test(a_broken_stream_fails_any_waiter_at_once),
	    cmocka_unit_test(close_at_each_step_ends_each_call),
	    cmocka_unit_test(a_console_says_both_words_at_its_end),
	    cmocka_unit_test(freeing_a_stream_cancels_its_waiter),
	    cmocka_unit_test(a_waiter_may_free_the_stream_when_told),
	    T(the_list_holds_the_open_streams),
	    cmocka_unit_test(escaping_shows_the_last_bytes),
	    cmocka_unit_test(what_goes_in_comes_out_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
