/* SPDX-License-Identifier: MIT */
/*
 * A place where one file at a time is run, through as many workers as it
 * takes.
 */
#ifndef RUNNER_SLOT_H
#define RUNNER_SLOT_H

#include <stdbool.h>

#include "runner/prompt.h"
#include "runner/run.h"
#include "runner/rundir.h"
#include "runner/share.h"
#include "streams/loop.h"

struct slot;

/* What slots have in common; the run's. */
struct slot_env {
	const struct run_options *opts;
	struct lua_State *L; /* what workers begin with */
	struct loop *loop;
	struct event_sink *sink;
	struct rundir *dir;
	struct share *share;
	struct prompt *prompt;	   /* NULL: failed tests are not held */
	struct run_result *result; /* totals are added here */
	bool is_ending;		   /* no worker is started any more */
	/* The slot is idle again. is_deferred: the file wants to be run
	 * again, with no other beside it; nothing of it was reported. */
	void (*over)(struct slot_env *env, const struct test_file *file,
		     bool is_deferred);
};

struct slot *slot_new(struct slot_env *env);
struct slot *slot_free(struct slot *s);

/* Failed tests, and failures outside of any, of its last file so far. */
unsigned slot_failures(const struct slot *s);
bool slot_is_idle(const struct slot *s);
/* is_shared: other files run at the same time. May be over at once. */
void slot_start(struct slot *s, const struct test_file *file, bool is_shared);
/* Asks its worker to end, and makes sure that it does; or kills it. The second
 * one reports first what its test waits for, if the worker says so in time. */
void slot_terminate(struct slot *s);
void slot_tell_and_terminate(struct slot *s);
void slot_interrupt(struct slot *s);
/* Reports what its test waits for, as soon as the worker has said it. */
void slot_tell(struct slot *s);

#endif
