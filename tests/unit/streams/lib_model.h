/* SPDX-License-Identifier: MIT */
/*
 * A stream beside a model of it that does everything the slow and obvious
 * way: all bytes in one array, memmem() for a match. Each action below is done
 * to both, then everything that can be asked is compared; a difference says
 * where and aborts (so that it also serves the fuzzer).
 */
#ifndef TESTS_LIB_MODEL_H
#define TESTS_LIB_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "streams/stream.h"

enum model_kind {
	MODEL_NEXT,
	MODEL_DRAIN,
	MODEL_EXPECT,
	MODEL_READ_UNTIL,
	MODEL_TAKE,
	MODEL_READ,
	MODEL_KINDS
};

struct model_call {
	enum model_kind kind;
	const struct stream_pattern *patterns; /* borrowed until it is over */
	size_t n_patterns;
	size_t n_bytes;	  /* of a take, a read */
	size_t skip;	  /* frames that a next drops first */
	bool hold;	  /* accepted by model_accept() */
	bool is_expiring; /* at its deadline in the next model_turn() */
};

struct model;

/* note: borrowed, printed when something differs (a seed); l: borrowed. */
struct model *model_new(struct loop *l, const char *note);
/* Gives up what is in flight; frees the stream. */
struct model *model_free(struct model *m);

/* --- the source --- */
void model_deliver(struct model *m, const void *p, size_t n, bool more);
void model_end(struct model *m, bool is_broken);

/* --- the reader: a start while a call is not over is refused by the stream,
 * and that is all that is checked of it --- */
void model_start(struct model *m, const struct model_call *call);
/* One turn of the loop: a call that expires does. */
void model_turn(struct model *m);
void model_cancel(struct model *m);
void model_accept(struct model *m);
/* Of a call that holds what it found. */
void model_give_up(struct model *m);
void model_close(struct model *m);

/* A call is in flight, or holds. */
bool model_is_busy(const struct model *m);
bool model_is_held(const struct model *m);
bool model_is_over(const struct model *m); /* closed, or ended */
size_t model_pending(const struct model *m);
size_t model_delivered(const struct model *m);

/* Reads everything that is left, and checks that all of it was paid for. */
void model_read_all(struct model *m);

/* Any bytes as a script of actions. */
void model_play(struct model *m, const uint8_t *script, size_t n);

#endif
