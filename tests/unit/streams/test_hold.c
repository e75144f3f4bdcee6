/* SPDX-License-Identifier: MIT */
/* Waits that hold what they found until they are accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/streams/lib_source.h"

enum kind { NEXT, DRAIN, EXPECT, READ_UNTIL, TAKE, KINDS };

/* What each finds in "ab" "cde" "f", and how many bytes go by it. */
static const struct {
	int result;
	size_t taken;
	const char *bytes;
} finds[KINDS] = {
    [NEXT] = {1, 2, "ab"},    [DRAIN] = {3, 6, ""},
    [EXPECT] = {0, 4, ""},    [READ_UNTIL] = {0, 4, "abcd"},
    [TAKE] = {5, 5, "abcde"},
};

static void start(struct fixture *f, enum kind kind, int64_t deadline_ns,
		  const struct stream_pattern *p)
{
	if (kind == NEXT)
		stream_next(&f->w, deadline_ns);
	else if (kind == DRAIN)
		stream_drain(&f->w, deadline_ns);
	else if (kind == TAKE)
		stream_take(&f->w, "take", 5, deadline_ns);
	else
		stream_match(&f->w, "expect", p, 1, kind == READ_UNTIL,
			     deadline_ns);
}

/* A held wait of that kind for "ab" "cde" "f"; those came before it or,
 * is_late, while it waited. */
static void hold(struct fixture *f, enum kind kind, bool is_late)
{
	static const struct stream_pattern p = {(const uint8_t *)"cd", 2};

	fixture_open(f, STREAM_TAIL);
	f->w.hold = true;
	if (is_late)
		start(f, kind, kind == DRAIN ? 0 : CLOCK_NEVER, &p);
	source_put(&f->src, "ab");
	source_put(&f->src, "cde");
	source_put(&f->src, "f");
	if (!is_late)
		start(f, kind, 0, &p);
	assert_int_equal(op_wait(&f->w.op), finds[kind].result);
	assert_true(f->w.is_held);
	assert_int_equal(stream_taken(f->src.stream), 0);
}

static void release(struct fixture *f)
{
	stream_wait_done(&f->w);
	source_done(&f->src);
	loop_free(f->loop);
}

/* What the reader has not got, as the stream gives it now. */
static void check_left(struct fixture *f, const char *want)
{
	struct stream_wait w;

	stream_wait_init(&w, f->src.stream);
	stream_take(&w, "take", 100, 0);
	if (strlen(want) < 100 && !stream_eof(f->src.stream))
		stream_end(f->src.stream, NULL);
	assert_int_equal(op_wait(&w.op), strlen(want));
	check_bytes(&w.bytes, want);
	stream_wait_done(&w);
	assert_int_equal(f->src.consumed, f->src.delivered);
}

static void accepting_hands_over_what_was_found(void **state)
{
	(void)state;
	for (enum kind k = 0; k < KINDS; k++) {
		for (int late = 0; late < 2; late++) {
			struct fixture f;

			hold(&f, k, late);
			source_put(&f.src, "more");
			stream_wait_accept(&f.w);
			assert_false(f.w.is_held);
			assert_int_equal(stream_taken(f.src.stream),
					 finds[k].taken);
			check_bytes(&f.w.bytes, finds[k].bytes);
			assert_int_equal(f.w.n_frames, k == DRAIN ? 3 : 0);
			stream_wait_accept(&f.w);
			check_left(&f, "abcdefmore" + finds[k].taken);
			release(&f);
		}
	}
}

static void giving_up_leaves_everything_in_its_place(void **state)
{
	(void)state;
	for (enum kind k = 0; k < KINDS; k++) {
		for (int late = 0; late < 2; late++) {
			struct fixture f;

			hold(&f, k, late);
			source_put(&f.src, "more");
			stream_wait_done(&f.w);
			assert_int_equal(stream_taken(f.src.stream), 0);
			check_left(&f, "abcdefmore");
			release(&f);
		}
	}
}

static void starting_again_gives_up_too(void **state)
{
	struct fixture f;

	(void)state;
	hold(&f, READ_UNTIL, false);
	stream_next(&f.w, 0);
	assert_int_equal(op_wait(&f.w.op), 1);
	stream_wait_accept(&f.w);
	check_bytes(&f.w.bytes, "ab");
	stream_next(&f.w, 0);
	assert_int_equal(op_wait(&f.w.op), 1);
	stream_wait_accept(&f.w);
	check_bytes(&f.w.bytes, "cde");
	release(&f);
}

static void one_that_holds_is_still_the_waiter(void **state)
{
	struct stream_wait other;
	struct fixture f;

	(void)state;
	hold(&f, NEXT, true);
	stream_wait_init(&other, f.src.stream);
	stream_next(&other, 0);
	assert_int_equal(op_wait(&other.op), -EBUSY);
	stream_wait_accept(&f.w);
	stream_next(&other, 0);
	assert_int_equal(op_wait(&other.op), 1);
	check_bytes(&other.bytes, "cde");
	stream_wait_done(&other);
	release(&f);
}

static void the_end_does_not_change_what_was_found(void **state)
{
	(void)state;
	for (enum kind k = 0; k < KINDS; k++) {
		for (int broken = 0; broken < 2; broken++) {
			struct fixture f;
			struct err err;

			hold(&f, k, true);
			err_set(&err, -EIO, "broken");
			stream_end(f.src.stream, broken ? &err : NULL);
			assert_false(stream_eof(f.src.stream));
			assert_int_equal(f.w.op.result, finds[k].result);
			stream_wait_accept(&f.w);
			check_bytes(&f.w.bytes, finds[k].bytes);
			assert_int_equal(stream_taken(f.src.stream),
					 finds[k].taken);
			release(&f);
		}
	}
}

static void closing_hands_over_what_was_found(void **state)
{
	(void)state;
	for (enum kind k = 0; k < KINDS; k++) {
		struct fixture f;

		hold(&f, k, true);
		stream_close(f.src.stream);
		check_bytes(&f.w.bytes, finds[k].bytes);
		assert_int_equal(stream_taken(f.src.stream), finds[k].taken);
		assert_true(stream_eof(f.src.stream));
		stream_wait_accept(&f.w);
		release(&f);
	}
}

static void freeing_the_stream_hands_over_what_was_found(void **state)
{
	(void)state;
	for (enum kind k = 0; k < KINDS; k++) {
		struct fixture f;

		hold(&f, k, true);
		f.src.stream = stream_free(f.src.stream);
		stream_wait_accept(&f.w);
		check_bytes(&f.w.bytes, finds[k].bytes);
		release(&f);
	}
}

static void what_finds_nothing_holds_nothing(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, STREAM_TAIL);
	f.w.hold = true;
	for (enum kind k = 0; k < KINDS; k++) {
		struct stream_pattern p = pat("z");

		start(&f, k, 0, &p);
		op_wait(&f.w.op);
		assert_false(f.w.is_held);
	}
	release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(accepting_hands_over_what_was_found),
	    cmocka_unit_test(giving_up_leaves_everything_in_its_place),
	    cmocka_unit_test(starting_again_gives_up_too),
	    cmocka_unit_test(one_that_holds_is_still_the_waiter),
	    cmocka_unit_test(the_end_does_not_change_what_was_found),
	    cmocka_unit_test(closing_hands_over_what_was_found),
	    cmocka_unit_test(freeing_the_stream_hands_over_what_was_found),
	    cmocka_unit_test(what_finds_nothing_holds_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
