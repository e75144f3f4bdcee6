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

#include "agent-proto/err.h"

struct loop;
struct watch;
struct timer;

#define LOOP_READ  1u
#define LOOP_WRITE 2u

typedef void (*watch_cb)(void *ctx, int fd, unsigned ready);
typedef void (*timer_cb)(void *ctx);

struct loop *loop_new(struct err *err);
/* Every watch and timer must be freed before. */
struct loop *loop_free(struct loop *l);

/* Waits until something is ready, runs its callbacks, then the deferred
 * frees. Returns at the latest when a timer fired or a signal came (EINTR). */
void loop_turn(struct loop *l);
/* The same without waiting. */
void loop_poll(struct loop *l);

/* fd is borrowed, and must stay open until watch_free(). Starts with none of
 * the LOOP_ events. Level-triggered. */
struct watch *watch_new(struct loop *l, int fd, watch_cb cb, void *ctx);
void watch_set(struct watch *w, unsigned events);
struct watch *watch_free(struct watch *w);

/* One-shot. timer_set(CLOCK_NEVER) stops it; a point in the past fires in the
 * next turn. Resolution is finer than a millisecond. */
struct timer *timer_new(struct loop *l, timer_cb cb, void *ctx);
void timer_set(struct timer *t, int64_t deadline_ns);
struct timer *timer_free(struct timer *t);

void loop_defer_free(struct loop *l, void *take_ptr, void (*fn)(void *ptr));

#endif
