/* SPDX-License-Identifier: MIT */
/*
 * The worker's side of the pool (runner/pool.h): asks the parent over the
 * worker's socket, and is answered. What is not given back when the worker
 * ends, the parent takes back.
 */
#ifndef RUNNER_CLAIMS_H
#define RUNNER_CLAIMS_H

#include "runner/event.h"
#include "runner/pool.h"
#include "streams/op.h"

struct claims;

/* sink: where events go to the parent; fd: where its answers come from, -1:
 * there is no parent, and everything is granted. Both borrowed. */
struct claims *claims_new(struct loop *l, struct event_sink *sink, int fd);
struct claims *claims_free(struct claims *c);

/* Asks; op is initialised and started here, with the deadline. It finishes
 * with 0 when it was granted, or with -ENOSPC and why not; an op that is ended
 * before withdraws its ask. r->id is not read. */
void claims_ask(struct claims *c, struct op *op, const struct pool_request *r,
		int64_t deadline_ns);
void claims_give_back(struct claims *c, const struct pool_amount *amount);

/* Who gets what is typed for this file (runner/debug.h), borrowed until the
 * next call; NULL as a line: nothing more is. */
void claims_on_said(struct claims *c, void (*cb)(void *ctx, const char *line),
		    void *ctx);

/* Asks that wait for their answer. */
unsigned claims_pending(const struct claims *c);
/* Tells the parent, if it is news, that the file does nothing but wait for all
 * of them. */
void claims_park(struct claims *c);

#endif
