/* SPDX-License-Identifier: MIT */
/*
 * An operation in flight: the one thing that callers wait for. Whatever may
 * block embeds a struct op, and is over exactly once: by its own outcome, by
 * its deadline (-ETIMEDOUT) or because the caller gave it up (-ECANCELED).
 *
 *	idle --op_start()--> running --op_finish() / deadline / op_cancel()-->
 *	    finished
 *
 * An operation may be finished before the call that started it returns; the
 * caller then sees op_is_done() and on_done is never called. Otherwise
 * on_done, set by the waiter, is called once, from the loop, as the last
 * thing; it may free the object that holds the op.
 */
#ifndef STREAMS_OP_H
#define STREAMS_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/clock.h"
#include "agent-proto/err.h"
#include "streams/loop.h"

struct op;
/* Implementer's: undo the operation; it is being finished with reason
 * (-ETIMEDOUT or -ECANCELED), which op->result says already. Must not call
 * op_finish(); may fill op->err, or set op->result where an early end is none
 * (>= 0: no error). */
typedef void (*op_stop_cb)(struct op *op, int reason);
typedef void (*op_done_cb)(struct op *op, void *ctx);

enum op_state { OP_IDLE, OP_RUNNING, OP_DONE };

struct op {
	struct loop *loop;   /* borrowed */
	struct timer *timer; /* owned, made when a deadline is first needed */
	op_stop_cb stop;
	void *owner; /* the implementer's, where it does not embed the op;
		      * set after op_init() */
	op_done_cb on_done; /* the waiter's */
	void *done_ctx;
	enum op_state state;
	bool is_timed_out; /* its deadline ended it, whatever result says */
	int result;	   /* >= 0, or a negative errno that err explains */
	struct err err;
	int64_t started_ns;
	int64_t deadline_ns;
};

void op_init(struct op *op, struct loop *l, op_stop_cb stop);
/* Frees what it holds; a running op is cancelled first, without on_done. */
void op_done(struct op *op);

/* Of an idle op, or again of one that is done. A deadline in the past is
 * noticed in the next turn. */
void op_start(struct op *op, int64_t deadline_ns);
/* Another deadline for a running op. */
void op_set_deadline(struct op *op, int64_t deadline_ns);
/* Finishes a running op; err may be NULL for results >= 0. */
void op_finish(struct op *op, int result, const struct err *err);
/* Finishes a running op with -ECANCELED, on_done included; no effect on
 * others. */
void op_cancel(struct op *op);

static inline bool op_is_done(const struct op *op)
{
	return op->state == OP_DONE;
}

/* Turns the loop until the op is done; returns its result. Only at the top,
 * never from a callback: for tests, and programs without coroutines. */
int op_wait(struct op *op);

#endif
