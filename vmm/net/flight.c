/* SPDX-License-Identifier: MIT */
#include "vmm/net/flight.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"

static bool is_before(const struct flight *a, const struct flight *b)
{
	if (a->due_ns != b->due_ns)
		return a->due_ns < b->due_ns;
	return a->seq < b->seq;
}

static void flight_set(struct flightq *q, size_t at, struct flight *f)
{
	q->v[at] = f;
	f->at = at;
}

static void sift_up(struct flightq *q, struct flight *f)
{
	size_t at = f->at;

	while (at && is_before(f, q->v[(at - 1) / 2])) {
		flight_set(q, at, q->v[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	flight_set(q, at, f);
}

static void sift_down(struct flightq *q, struct flight *f)
{
	size_t at = f->at;

	for (;;) {
		size_t kid = 2 * at + 1;

		if (kid + 1 < q->n && is_before(q->v[kid + 1], q->v[kid]))
			kid++;
		if (kid >= q->n || !is_before(q->v[kid], f))
			break;
		flight_set(q, at, q->v[kid]);
		at = kid;
	}
	flight_set(q, at, f);
}

void flightq_done(struct flightq *q)
{
	for (size_t i = 0; i < q->n; i++)
		free(q->v[i]);
	free(q->v);
	*q = (struct flightq){0};
}

struct flight *flightq_put(struct flightq *q, struct lane *lane, int64_t due_ns,
			   const uint8_t *p, size_t n)
{
	struct flight *f = mem_alloc(sizeof(*f) + n);

	f->lane = lane;
	f->due_ns = due_ns;
	f->seq = q->seq++;
	f->len = n;
	memcpy(f->data, p, n);
	if (q->n == q->cap) {
		q->cap = q->cap ? 2 * q->cap : 64;
		q->v = mem_realloc_array(q->v, q->cap, sizeof(struct flight *));
	}
	flight_set(q, q->n++, f);
	sift_up(q, f);
	return f;
}

struct flight *flightq_first(const struct flightq *q)
{
	return q->n ? q->v[0] : NULL;
}

void flightq_take(struct flightq *q, struct flight *f)
{
	struct flight *last = q->v[--q->n];

	if (last == f)
		return;
	flight_set(q, f->at, last);
	sift_up(q, last);
	sift_down(q, last);
}

void flightq_move(struct flightq *q, struct flight *f, int64_t due_ns)
{
	f->due_ns = due_ns;
	f->seq = q->seq++;
	sift_up(q, f);
	sift_down(q, f);
}

void flightq_sift(struct flightq *q,
		  bool (*goes)(void *ctx, const struct flight *f), void *ctx)
{
	size_t n = q->n;

	q->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct flight *f = q->v[i];

		if (goes(ctx, f)) {
			free(f);
			continue;
		}
		flight_set(q, q->n++, f);
		sift_up(q, f);
	}
}
