/* SPDX-License-Identifier: MIT */
/*
 * The one event loop of a process: a thin face on libevent. No other header
 * or folder names libevent. One thread, one loop.
 *
 * The loop is turned only by whoever waits at the top (loop_turn()); a
 * callback never turns it. An object may free itself inside its own callback;
 * memory that a caller up the stack may still look at goes to
 * loop_defer_free(), which runs when the current turn is over.
 */
#ifndef STREAMS_LOOP_H
#define STREAMS_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent-proto/err.h"

struct loop;
struct watch;
struct timer;

#define LOOP_READ  1u
#define LOOP_WRITE 2u

/* With which the process ends, and says why, where the kernel cannot watch one
 * more descriptor. */
#define LOOP_EXIT_NO_WATCH 2

typedef void (*watch_cb)(void *ctx, int fd, unsigned ready);
typedef void (*timer_cb)(void *ctx);

struct loop *loop_new(struct err *err);
/* Every watch and timer must be freed before. */
struct loop *loop_free(struct loop *l);

/* Runs the hooks, waits until something is ready, runs its callbacks, then
 * the deferred frees. Returns at the latest when a timer fired or loop_wake()
 * was called; a signal alone does not end it. */
void loop_turn(struct loop *l);
/* The same without waiting. */
void loop_poll(struct loop *l);
/* Whether a turn is on the stack: the caller runs in a callback. */
bool loop_is_turning(const struct loop *l);

/* Ends the turn that is waiting, or else the next one at once. May be called
 * from a signal handler; keeps errno. */
void loop_wake(struct loop *l);

/* fd is borrowed, and must stay open until watch_free(); one that epoll can
 * wait for, so no regular file. Starts with none of the LOOP_ events.
 * Level-triggered; cb is called once for each event. An end or an error of the
 * fd counts as each of the events asked for. */
struct watch *watch_new(struct loop *l, int fd, watch_cb cb, void *ctx);
void watch_set(struct watch *w, unsigned events);
struct watch *watch_free(struct watch *w);

/* One-shot. timer_set(CLOCK_NEVER) stops it; a point in the past fires in the
 * next turn. Resolution is finer than a millisecond. */
struct timer *timer_new(struct loop *l, timer_cb cb, void *ctx);
void timer_set(struct timer *t, int64_t deadline_ns);
struct timer *timer_free(struct timer *t);

/*
 * Work that is put off until the loop is about to wait, so that what a caller
 * does in one go is done as one (many requests, one write), without a turn's
 * delay. cb runs once, at the start of the next loop_turn() or loop_poll(); it
 * may not finish an op or free anything that is not its own, as the turn goes
 * on to wait. The struct is the caller's: zeroed, with cb and ctx set.
 */
struct loop_hook {
	void (*cb)(void *ctx);
	void *ctx;
	bool is_queued;
	TAILQ_ENTRY(loop_hook) link;
};

/* No effect when it is queued already. */
void loop_before_wait(struct loop *l, struct loop_hook *h);
void loop_hook_cancel(struct loop *l, struct loop_hook *h);

/*
 * For the owner of a second thread, which works between turns while the loop's
 * thread is elsewhere. The loop calls enter() when a turn begins, before
 * anything else in it, and leave() when the turn is over. Neither may finish an
 * op, free anything, or add or remove a sentry. The struct is the caller's:
 * zeroed, with enter, leave and ctx set.
 */
struct loop_sentry {
	void (*enter)(void *ctx);
	void (*leave)(void *ctx);
	void *ctx;
	TAILQ_ENTRY(loop_sentry) link;
};

/* Calls leave() at once if no turn is on the stack. */
void loop_add_sentry(struct loop *l, struct loop_sentry *s);
/* Calls neither. */
void loop_remove_sentry(struct loop *l, struct loop_sentry *s);

/* fn(ptr) once the current turn is over, or else at the end of the next. */
void loop_defer_free(struct loop *l, void *take_ptr, void (*fn)(void *ptr));

#endif
