/* SPDX-License-Identifier: MIT */
#include "streams/op.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

void op_init(struct op *op, struct loop *l, op_stop_cb stop)
{
	/* All but the text, which is most of it: this is done a lot. */
	memset(op, 0, offsetof(struct op, err));
	err_clear(&op->err);
	op->loop = l;
	op->stop = stop;
	op->started_ns = op->deadline_ns = 0;
}

/* The last step of every way to an end; may free the op. */
static void op_tell_waiter(struct op *op)
{
	op_done_cb cb = op->on_done;

	op->on_done = NULL;
	if (cb)
		cb(op, op->done_ctx);
}

static void over(struct op *op, int result)
{
	assert(op->state == OP_RUNNING);
	if (op->timer)
		timer_set(op->timer, CLOCK_NEVER);
	op->state = OP_DONE;
	op->result = result;
}

static void op_stop(struct op *op, int reason)
{
	over(op, reason);
	err_clear(&op->err);
	if (op->stop)
		op->stop(op, reason);
	if (op->result >= 0)
		err_clear(&op->err);
	else if (!op->err.code)
		err_set(&op->err, op->result, "%s",
			reason == -ETIMEDOUT ? "timed out" : "cancelled");
}

static void op_on_deadline(void *ctx)
{
	struct op *op = ctx;

	op->is_timed_out = true;
	op_stop(op, -ETIMEDOUT);
	op_tell_waiter(op);
}

void op_done(struct op *op)
{
	if (op->state == OP_RUNNING)
		op_stop(op, -ECANCELED);
	op->timer = timer_free(op->timer);
	op->on_done = NULL;
}

void op_start(struct op *op, int64_t deadline_ns)
{
	assert(op->state != OP_RUNNING);
	op->state = OP_RUNNING;
	op->is_timed_out = false;
	op->result = 0;
	err_clear(&op->err);
	op->started_ns = clock_now_ns();
	op_set_deadline(op, deadline_ns);
}

void op_set_deadline(struct op *op, int64_t deadline_ns)
{
	assert(op->state == OP_RUNNING);
	op->deadline_ns = deadline_ns;
	if (!op->timer && deadline_ns == CLOCK_NEVER)
		return;
	if (!op->timer)
		op->timer = timer_new(op->loop, op_on_deadline, op);
	timer_set(op->timer, deadline_ns);
}

void op_finish(struct op *op, int result, const struct err *err)
{
	assert(result >= 0 || err);
	over(op, result);
	if (result < 0 && err != &op->err)
		op->err = *err;
	op_tell_waiter(op);
}

void op_cancel(struct op *op)
{
	if (op->state != OP_RUNNING)
		return;
	op_stop(op, -ECANCELED);
	op_tell_waiter(op);
}

int op_wait(struct op *op)
{
	while (!op_is_done(op))
		loop_turn(op->loop);
	return op->result;
}
