/* SPDX-License-Identifier: MIT */
/* Frames on their way: a queue ordered by when they are due, and then by when
 * they were put in. */
#ifndef VMM_NET_FLIGHT_H
#define VMM_NET_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lane;

struct flight {
	struct lane *lane;
	int64_t due_ns;
	uint64_t seq;
	size_t at; /* in the queue */
	size_t len;
	uint8_t data[];
};

struct flightq {
	struct flight **v; /* a binary heap */
	size_t n, cap;
	uint64_t seq;
};

void flightq_done(struct flightq *q); /* frees the flights too */
/* A copy of the bytes; the queue's until it is taken. */
struct flight *flightq_put(struct flightq *q, struct lane *lane, int64_t due_ns,
			   const uint8_t *p, size_t n);
/* The next one, still in the queue; NULL: none. */
struct flight *flightq_first(const struct flightq *q);
/* Out of the queue; the caller frees it with free(). */
void flightq_take(struct flightq *q, struct flight *f);
/* As if it had been put in just now, due then. */
void flightq_move(struct flightq *q, struct flight *f, int64_t due_ns);
/* Frees those of which goes() says so. */
void flightq_sift(struct flightq *q,
		  bool (*goes)(void *ctx, const struct flight *f), void *ctx);

#endif
