/* SPDX-License-Identifier: MIT */
#include "streams/op.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent-proto/mem.h"

struct work {
	struct op op;
	int stops;
	int stop_reason;
	int stop_result; /* what on_stop says, if not 0 */
	bool stop_text;
	int dones;
	int done_result;
};

static int setup(void **state)
{
	struct err err;

	*state = loop_new(&err);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	loop_free(*state);
	return 0;
}

static void on_stop(struct op *op, int reason)
{
	struct work *w = CONTAINER_OF(op, struct work, op);

	assert_int_equal(0, w->dones);
	assert_int_equal(reason, op->result);
	w->stops++;
	w->stop_reason = reason;
	if (w->stop_result)
		op->result = w->stop_result;
	if (w->stop_text)
		err_set(&op->err, reason, "stopped: %d", reason);
}

static void on_done(struct op *op, void *ctx)
{
	struct work *w = ctx;

	assert_true(op_is_done(op));
	w->dones++;
	w->done_result = op->result;
}

static void work_start(struct work *w, struct loop *l, int64_t deadline_ns)
{
	op_init(&w->op, l, on_stop);
	op_start(&w->op, deadline_ns);
	w->op.on_done = on_done;
	w->op.done_ctx = w;
}

static void finish_tells_the_waiter_once(void **state)
{
	struct work w = {0};

	work_start(&w, *state, clock_deadline_ns(60 * NS_PER_SEC));
	assert_false(op_is_done(&w.op));
	op_finish(&w.op, 7, NULL);
	assert_true(op_is_done(&w.op));
	assert_int_equal(1, w.dones);
	assert_int_equal(7, w.done_result);
	op_cancel(&w.op);
	loop_poll(*state);
	op_done(&w.op);
	assert_int_equal(1, w.dones);
	assert_int_equal(0, w.stops);
}

static void failure_carries_its_text(void **state)
{
	struct work w = {0};
	struct err err;

	work_start(&w, *state, CLOCK_NEVER);
	err_set(&err, -EIO, "disk gone");
	op_finish(&w.op, -EIO, &err);
	assert_int_equal(-EIO, op_wait(&w.op));
	assert_string_equal("disk gone", w.op.err.text);
	op_done(&w.op);
}

static void deadline_stops_then_tells(void **state)
{
	struct work w = {0};
	int64_t due = clock_deadline_ns(5 * NS_PER_MS);

	work_start(&w, *state, due);
	assert_int_equal(-ETIMEDOUT, op_wait(&w.op));
	assert_true(clock_now_ns() >= due);
	assert_int_equal(1, w.stops);
	assert_int_equal(-ETIMEDOUT, w.stop_reason);
	assert_int_equal(1, w.dones);
	assert_string_equal("timed out", w.op.err.text);
	assert_int_equal(-ETIMEDOUT, w.op.err.code);
	op_done(&w.op);
}

static void deadline_can_be_moved_while_it_runs(void **state)
{
	struct work w = {0};

	work_start(&w, *state, clock_now_ns() - 1);
	op_set_deadline(&w.op, CLOCK_NEVER);
	loop_poll(*state);
	assert_false(op_is_done(&w.op));
	op_set_deadline(&w.op, clock_now_ns() - 1);
	loop_turn(*state);
	assert_int_equal(-ETIMEDOUT, w.done_result);
	op_done(&w.op);
	/* One that had none, and so no timer. */
	w = (struct work){0};
	work_start(&w, *state, CLOCK_NEVER);
	op_set_deadline(&w.op, CLOCK_NEVER);
	op_set_deadline(&w.op, clock_now_ns() - 1);
	assert_int_equal(-ETIMEDOUT, op_wait(&w.op));
	op_done(&w.op);
}

static void deadline_in_the_past_is_noticed_by_the_loop_only(void **state)
{
	struct work w = {0};

	work_start(&w, *state, clock_now_ns() - 1);
	assert_false(op_is_done(&w.op));
	loop_turn(*state);
	assert_true(op_is_done(&w.op));
	assert_int_equal(1, w.dones);
	op_done(&w.op);
}

static void stop_may_word_the_error(void **state)
{
	struct work w = {.stop_text = true};

	work_start(&w, *state, 0);
	assert_int_equal(-ETIMEDOUT, op_wait(&w.op));
	assert_non_null(strstr(w.op.err.text, "stopped: "));
	op_done(&w.op);
}

static void stop_may_turn_the_deadline_into_a_result(void **state)
{
	struct work w = {.stop_result = 3, .stop_text = true};

	work_start(&w, *state, 0);
	assert_int_equal(3, op_wait(&w.op));
	assert_int_equal(3, w.done_result);
	assert_int_equal(0, w.op.err.code);
	op_done(&w.op);
}

static void cancel_stops_and_tells(void **state)
{
	struct work w = {0};

	work_start(&w, *state, clock_deadline_ns(60 * NS_PER_SEC));
	op_cancel(&w.op);
	assert_int_equal(1, w.stops);
	assert_int_equal(1, w.dones);
	assert_int_equal(-ECANCELED, w.done_result);
	assert_string_equal("cancelled", w.op.err.text);
	op_cancel(&w.op);
	assert_int_equal(1, w.stops);
	op_done(&w.op);
}

static void done_of_a_running_op_stops_without_telling(void **state)
{
	struct work w = {0};

	work_start(&w, *state, clock_deadline_ns(60 * NS_PER_SEC));
	op_done(&w.op);
	assert_int_equal(1, w.stops);
	assert_int_equal(-ECANCELED, w.stop_reason);
	assert_int_equal(0, w.dones);
}

static void waiter_set_after_an_early_end_is_not_called(void **state)
{
	struct work w = {0};

	op_init(&w.op, *state, on_stop);
	op_start(&w.op, CLOCK_NEVER);
	op_finish(&w.op, 0, NULL);
	w.op.on_done = on_done;
	w.op.done_ctx = &w;
	loop_poll(*state);
	assert_int_equal(0, w.dones);
	op_done(&w.op);
}

static void an_op_can_be_started_again(void **state)
{
	struct work w = {0};

	work_start(&w, *state, 0);
	assert_int_equal(-ETIMEDOUT, op_wait(&w.op));
	op_start(&w.op, clock_deadline_ns(60 * NS_PER_SEC));
	assert_int_equal(0, w.op.err.code);
	op_finish(&w.op, 1, NULL);
	assert_int_equal(1, w.op.result);
	assert_int_equal(1, w.dones);
	op_done(&w.op);
}

static void on_done_free(struct op *op, void *ctx)
{
	struct work *w = CONTAINER_OF(op, struct work, op);

	*(int *)ctx = op->result;
	op_done(op);
	free(w);
}

static void waiter_may_free_the_op(void **state)
{
	struct work *w = mem_zalloc(sizeof(*w));
	int result = 0;

	work_start(w, *state, 0);
	w->op.on_done = on_done_free;
	w->op.done_ctx = &result;
	while (!result)
		loop_turn(*state);
	assert_int_equal(-ETIMEDOUT, result);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(finish_tells_the_waiter_once, setup,
				    teardown),
    cmocka_unit_test_setup_teardown(failure_carries_its_text, setup, teardown),
    cmocka_unit_test_setup_teardown(deadline_stops_then_tells, setup, teardown),
    cmocka_unit_test_setup_teardown(deadline_can_be_moved_while_it_runs, setup,
				    teardown),
    cmocka_unit_test_setup_teardown(
	deadline_in_the_past_is_noticed_by_the_loop_only, setup, teardown),
    cmocka_unit_test_setup_teardown(stop_may_word_the_error, setup, teardown),
    cmocka_unit_test_setup_teardown(stop_may_turn_the_deadline_into_a_result,
				    setup, teardown),
    cmocka_unit_test_setup_teardown(cancel_stops_and_tells, setup, teardown),
    cmocka_unit_test_setup_teardown(done_of_a_running_op_stops_without_telling,
				    setup, teardown),
    cmocka_unit_test_setup_teardown(waiter_set_after_an_early_end_is_not_called,
				    setup, teardown),
    cmocka_unit_test_setup_teardown(an_op_can_be_started_again, setup,
				    teardown),
    cmocka_unit_test_setup_teardown(waiter_may_free_the_op, setup, teardown),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
