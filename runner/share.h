/* SPDX-License-Identifier: MIT */
/*
 * The pool (runner/pool.h) with its I/O: what workers send about it, what they
 * are told, and the pressure of the host.
 */
#ifndef RUNNER_SHARE_H
#define RUNNER_SHARE_H

#include <jansson.h>

#include "runner/event.h"
#include "runner/pool.h"
#include "streams/loop.h"

struct share;
struct member; /* a worker */

struct share_ops {
	/* A line for the worker, newline included. */
	void (*send)(void *ctx, const char *line, size_t n);
	/* All that the worker does from now on is to wait for the pool; or no
	 * longer. */
	void (*parked)(void *ctx, bool is_parked);
};

/* pressure: folder to read pressure from, NULL: the host's. Borrowed. */
struct share *share_new(struct loop *l, const struct pool_budget *budget,
			const char *pressure);
struct share *share_free(struct share *s);
/* Whom to tell, with a "pool" event, whenever what is given out, or who waits,
 * has changed; borrowed. */
void share_report(struct share *s, struct event_sink *sink);

struct member *share_join(struct share *s, const char *name,
			  const struct share_ops *ops, void *ctx);
/* NULL is fine. What it had goes to those who wait. */
struct member *share_leave(struct member *m);

/* An event of the worker. 1: it was for the pool; 0: it was not; negative: it
 * makes no sense. */
int share_event(struct member *m, const json_t *ev, struct err *err);

/* Whether the host is under pressure; then the loop will turn again soon. */
bool share_is_pressed(struct share *s);

#endif
