/* SPDX-License-Identifier: MIT */
/*
 * A scripted source: the test delivers by hand, it counts what comes back.
 */
#ifndef TESTS_LIB_SOURCE_H
#define TESTS_LIB_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "streams/loop.h"
#include "streams/stream.h"

struct source {
	struct loop *loop;
	struct stream *stream;
	uint64_t delivered;
	uint64_t consumed;
	int closed;
	/* A window as a real source has: flow_deliver() keeps to it. */
	uint64_t window;
};

/* One more stream on src->loop, in list (may be NULL). */
void source_open(struct source *src, struct loop *l, enum stream_type type,
		 struct stream_list *list);
/* Frees the stream; it must have told its source so exactly once, and have
 * paid for no more than was delivered. */
void source_done(struct source *src);

void source_put(struct source *src, const char *text);
void source_put_bytes(struct source *src, const void *p, size_t n, bool more);
/* Delivers as much of p[0..n) as the window allows; returns how much. */
size_t source_put_windowed(struct source *src, const uint8_t *p, size_t n);

/* A loop, a stream on a source, a wait for it. */
struct fixture {
	struct loop *loop;
	struct source src;
	struct stream_wait w;
};

void fixture_open(struct fixture *f, enum stream_type type);
int fixture_setup(void **state);
int fixture_teardown(void **state);
struct stream_pattern pat(const char *s);
void check_bytes(const struct buf *b, const char *want);
void check_next(struct fixture *f, const char *want);
void check_drain(struct fixture *f, const char *const *want, size_t n);
int match_now(struct fixture *f, const struct stream_pattern *p, bool keep);
void check_contains(const char *text, const char *part);

#endif
