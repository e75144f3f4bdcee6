/* SPDX-License-Identifier: MIT */
/*
 * A worker process, seen from its parent: forked from it, and named
 * WORKER_NAME, in a process group of its own, with one end of a socketpair, a
 * pipe for what it prints, and no other descriptor of the parent's. Answers go
 * down, events come up, as lines. Whatever it or its children print arrives
 * line by line too, where the worker marked it: between its events.
 *
 * A worker dies with its parent; when it ends, what is left of its process
 * group is killed.
 */
#ifndef RUNNER_WORKER_PROC_H
#define RUNNER_WORKER_PROC_H

#include <stddef.h>

#include "agent-proto/err.h"
#include "runner/output_mark.h"
#include "streams/loop.h"

/* As comm(5) of proc has it: at most 15 bytes. */
#define WORKER_NAME "provium-worker"

/* Where the worker finds the pipe that is its standard output and error at
 * first, whatever the test makes of those: for marks. */
#define WORKER_OUTPUT_FD 4

/* Longer lines of output are cut here, */
#define WORKER_OUTPUT_LINE 4096
/* and of one worker so many bytes are passed on. */
#define WORKER_OUTPUT_MAX (1u << 20)

struct worker_proc;

/* What it does, with its end of the socket; its exit status. */
typedef int worker_body(void *ctx, int fd);

/* Lines come without their newline, borrowed. None of these may free the
 * worker but exited. */
struct worker_proc_ops {
	void (*event)(void *ctx, const char *line, size_t n);
	void (*output)(void *ctx, const char *line, size_t n);
	/* A line was longer than an event may be; no more events come. */
	void (*overlong)(void *ctx);
	/* It closed its end of the socket, as it does when it exits. */
	void (*hangup)(void *ctx);
	/* What it sends cannot be read: code is an errno. */
	void (*deaf)(void *ctx, int code);
	/* The last call, exactly once, when it was reaped and all it sent was
	 * delivered. status is that of waitpid(). */
	void (*exited)(void *ctx, int status);
};

/* The new process finds what body_ctx points to as it is now. mark is copied;
 * NULL: it marks nothing, so its output is what arrives before an event.
 * Standard input, output and error of this process must be open. NULL with err
 * if it could not be started. */
struct worker_proc *worker_proc_new(struct loop *l, worker_body *body,
				    void *body_ctx,
				    const struct output_mark *mark,
				    const struct worker_proc_ops *ops,
				    void *ctx, struct err *err);
/* Kills it if it still runs, without calling anything. */
struct worker_proc *worker_proc_free(struct worker_proc *w);

/* Delivers what it has sent up to now, as the loop would in some turns: before
 * its silence is held against it. */
void worker_proc_catch_up(struct worker_proc *w);
/* Sends bytes down; dropped once it has closed its end. */
void worker_proc_send(struct worker_proc *w, const void *p, size_t n);
/* Asks it for an event "waiting". */
void worker_proc_ask_state(struct worker_proc *w);
/* Asks it to end: SIGTERM to it alone. */
void worker_proc_terminate(struct worker_proc *w);
/* SIGKILL to its whole group; exited follows. */
void worker_proc_kill(struct worker_proc *w);
/* What is wrong with how it exited, as wait(2) tells it; is_ended: it had said
 * all that it had to. Owned, NULL: nothing. */
char *worker_proc_reason(int status, bool is_ended);

#endif
