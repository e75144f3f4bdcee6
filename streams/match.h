/* SPDX-License-Identifier: MIT */
/*
 * Linear search for one or several byte strings in a stream that arrives in
 * pieces. The state that crosses from piece to piece is a position in each
 * pattern, never bytes: nothing is kept and nothing is searched twice,
 * however the stream is cut.
 */
#ifndef STREAMS_MATCH_H
#define STREAMS_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream_pattern {
	const uint8_t *p; /* borrowed; n >= 1 */
	size_t n;
};

struct match;

struct match_hit {
	size_t end;   /* just past the match, in the piece that completed it */
	size_t index; /* of the pattern, 0-based */
};

/* count >= 1. The array is borrowed for the call, the bytes of the patterns
 * until match_free(). Memory is of the order of their length, and 4 MiB at
 * most beyond that. */
struct match *match_new(const struct stream_pattern *patterns, size_t count);
struct match *match_free(struct match *m);

/* Starts a new stream. */
void match_reset(struct match *m);

/*
 * The next n bytes. True when a pattern ends in them: the one that ends
 * first; of several that end there, the earlier listed. Bytes behind the hit
 * were not looked at for good: match_reset() before feeding on.
 */
bool match_feed(struct match *m, const uint8_t *p, size_t n,
		struct match_hit *ret_hit);

/* Bytes examined so far, each as often as it was: for tests of linearity. */
uint64_t match_work(const struct match *m);

#endif
