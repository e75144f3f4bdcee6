/* SPDX-License-Identifier: MIT */
/* An interrupt ends the waits on streams, and the streams go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/streams/lib_source.h"

struct two {
	struct loop *loop;
	struct stream_list list;
	struct source a, b;
	struct stream_wait wait_a, wait_b;
	int told;
};

static void open_two(struct two *t)
{
	struct err err;

	*t = (struct two){0};
	TAILQ_INIT(&t->list);
	t->loop = loop_new(&err);
	assert_non_null(t->loop);
	source_open(&t->a, t->loop, STREAM_TAIL, &t->list);
	source_open(&t->b, t->loop, STREAM_CONSOLE, &t->list);
	stream_wait_init(&t->wait_a, t->a.stream);
	stream_wait_init(&t->wait_b, t->b.stream);
}

static void close_two(struct two *t)
{
	stream_wait_done(&t->wait_a);
	stream_wait_done(&t->wait_b);
	if (t->a.stream)
		source_done(&t->a);
	if (t->b.stream)
		source_done(&t->b);
	loop_free(t->loop);
}

static void interrupt(struct two *t)
{
	struct err err;

	err_set(&err, -EHOSTDOWN, "the console shows it");
	stream_list_interrupt(&t->list, &err);
}

static void every_wait_ends_and_nothing_is_lost(void **state)
{
	struct stream_pattern p = pat("zz");
	struct two t;

	(void)state;
	open_two(&t);
	source_put(&t.a, "abc");
	stream_match(&t.wait_a, "expect", &p, 1, false, CLOCK_NEVER);
	stream_drain(&t.wait_b, CLOCK_NEVER);
	source_put(&t.b, "def");
	interrupt(&t);
	assert_int_equal(t.wait_a.op.result, -EHOSTDOWN);
	assert_int_equal(t.wait_b.op.result, -EHOSTDOWN);
	assert_string_equal(t.wait_b.op.err.text, "the console shows it");
	stream_next(&t.wait_a, 0);
	assert_int_equal(op_wait(&t.wait_a.op), 1);
	check_bytes(&t.wait_a.bytes, "abc");
	stream_next(&t.wait_b, 0);
	assert_int_equal(op_wait(&t.wait_b.op), 1);
	check_bytes(&t.wait_b.bytes, "def");
	close_two(&t);
}

static void without_waits_nothing_happens(void **state)
{
	struct two t;

	(void)state;
	open_two(&t);
	source_put(&t.a, "abc");
	interrupt(&t);
	assert_false(stream_eof(t.a.stream));
	stream_next(&t.wait_a, 0);
	assert_int_equal(op_wait(&t.wait_a.op), 1);
	close_two(&t);
}

/* What was found before the interrupt is not taken back. */
static void a_held_wait_keeps_what_it_has(void **state)
{
	struct two t;

	(void)state;
	open_two(&t);
	t.wait_a.hold = true;
	source_put(&t.a, "abc");
	stream_next(&t.wait_a, CLOCK_NEVER);
	interrupt(&t);
	assert_int_equal(t.wait_a.op.result, 1);
	stream_wait_accept(&t.wait_a);
	check_bytes(&t.wait_a.bytes, "abc");
	close_two(&t);
}

static void free_the_other(struct op *op, void *ctx)
{
	struct two *t = ctx;

	(void)op;
	t->told++;
	source_done(&t->b);
	t->b.stream = NULL;
}

static void who_is_told_may_free_another(void **state)
{
	struct two t;

	(void)state;
	open_two(&t);
	stream_next(&t.wait_a, CLOCK_NEVER);
	t.wait_a.op.on_done = free_the_other;
	t.wait_a.op.done_ctx = &t;
	stream_next(&t.wait_b, CLOCK_NEVER);
	interrupt(&t);
	assert_int_equal(t.told, 1);
	assert_int_equal(t.wait_b.op.result, -ECANCELED);
	close_two(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_wait_ends_and_nothing_is_lost),
	    cmocka_unit_test(without_waits_nothing_happens),
	    cmocka_unit_test(a_held_wait_keeps_what_it_has),
	    cmocka_unit_test(who_is_told_may_free_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
