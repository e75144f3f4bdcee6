/* SPDX-License-Identifier: MIT */
#include "streams/pending.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent-proto/mem.h"
#include "streams/stream.h"

/* Chunks double from the first size to the last, so that an idle stream costs
 * next to nothing and a long backlog few page faults: the last size is a huge
 * page of x86-64, which the kernel is asked for. */
#define CHUNK_MIN ((size_t)4 << 10)
#define CHUNK_MAX ((size_t)2 << 20)
/* What an emptied queue keeps to work with. */
#define CHUNK_KEEP ((size_t)64 << 10)
#define SLOTS_MIN  16

struct chunk {
	struct chunk *next;
	uint64_t at; /* offset in the stream of mem[0] */
	size_t len;
	size_t cap;
	uint8_t *mem;
};

static struct chunk *chunk_new(size_t cap, uint64_t at)
{
	struct chunk *c = mem_zalloc(sizeof(*c));

	c->at = at;
	c->cap = cap;
	if (cap == CHUNK_MAX)
		c->mem = aligned_alloc(CHUNK_MAX, cap);
	if (c->mem)
		madvise(c->mem, cap, MADV_HUGEPAGE);
	else
		c->mem = mem_alloc(cap);
	return c;
}

static void chunk_free(struct chunk *c)
{
	free(c->mem);
	free(c);
}

static void add_chunk(struct pending *q, size_t n)
{
	size_t cap = q->last ? q->last->cap * 2 : CHUNK_MIN;

	while (cap < n && cap < CHUNK_MAX)
		cap *= 2;
	if (cap > CHUNK_MAX)
		cap = CHUNK_MAX;
	struct chunk *c = chunk_new(cap, q->end);
	if (q->last)
		q->last->next = c;
	else
		q->first = c;
	q->last = c;
}

static void add_bytes(struct pending *q, const uint8_t *p, size_t n)
{
	while (n) {
		if (!q->last || q->last->len == q->last->cap)
			add_chunk(q, n);
		struct chunk *c = q->last;
		size_t k = c->cap - c->len;

		if (k > n)
			k = n;
		memcpy(c->mem + c->len, p, k);
		c->len += k;
		q->end += k;
		p += k;
		n -= k;
	}
}

static void grow_ring(struct pending *q)
{
	size_t old = q->n_slots;
	size_t wrapped =
	    q->head + q->n_frames > old ? q->head + q->n_frames - old : 0;

	q->n_slots = old ? old * 2 : SLOTS_MIN;
	q->frames =
	    mem_realloc_array(q->frames, q->n_slots, sizeof(*q->frames));
	if (wrapped)
		memcpy(q->frames + old, q->frames,
		       wrapped * sizeof(*q->frames));
}

static uint32_t *frame_at(const struct pending *q, size_t i)
{
	return &q->frames[(q->head + i) & (q->n_slots - 1)];
}

/* Drops the first n bytes of the frame lengths. */
static void take_frames(struct pending *q, size_t n)
{
	while (n) {
		uint32_t *len = frame_at(q, 0);

		if (*len > n) {
			*len -= (uint32_t)n;
			q->is_cut = true;
			return;
		}
		n -= *len;
		q->is_cut = false;
		q->head = (q->head + 1) & (q->n_slots - 1);
		q->n_frames--;
	}
	if (!q->n_frames && q->n_slots > SLOTS_MIN) {
		free(q->frames);
		q->frames = NULL;
		q->n_slots = q->head = 0;
	}
}

void pending_add(struct pending *q, const void *p, size_t n, bool more)
{
	size_t left = n;

	/* Without bytes it can end a frame, but not begin one. */
	if (!n) {
		q->is_open = q->is_open && more;
		return;
	}
	add_bytes(q, p, n);
	while (left) {
		uint32_t *len = NULL;

		if (q->is_open && q->n_frames)
			len = frame_at(q, q->n_frames - 1);
		if (!len || *len == STREAM_FRAME_MAX) {
			if (q->n_frames == q->n_slots)
				grow_ring(q);
			len = frame_at(q, q->n_frames++);
			*len = 0;
		}
		size_t k = STREAM_FRAME_MAX - *len;
		if (k > left)
			k = left;
		*len += (uint32_t)k;
		left -= k;
		q->is_open = true;
	}
	q->is_open = more;
}

void pending_seal(struct pending *q)
{
	q->is_open = false;
}

size_t pending_frames(const struct pending *q)
{
	if (!q->n_frames || !q->is_open ||
	    *frame_at(q, q->n_frames - 1) == STREAM_FRAME_MAX)
		return q->n_frames;
	return q->n_frames - 1;
}

/* Room for exactly n bytes: a drain may hold millions of small frames. */
static uint8_t *exact_room(struct buf *out, size_t n)
{
	assert(!out->len);
	if (!out->mem && n) {
		out->mem = mem_alloc(n);
		out->cap = n;
	}
	return buf_room(out, n);
}

/* The first chunk is used up. The last one is kept to be filled again, if it
 * is not too large. */
static void retire_first(struct pending *q)
{
	struct chunk *c = q->first;

	if (q->scan == c)
		q->scan = c->next;
	if (c == q->last && c->cap <= CHUNK_KEEP) {
		c->at = q->end;
		c->len = 0;
		return;
	}
	q->first = c->next;
	if (!q->first)
		q->last = NULL;
	chunk_free(c);
}

void pending_take(struct pending *q, size_t n, struct buf *out)
{
	size_t left = n;

	assert(n <= pending_size(q));
	take_frames(q, n);
	if (out)
		exact_room(out, n);
	while (left) {
		struct chunk *c = q->first;
		size_t from = (size_t)(q->begin - c->at);
		size_t k = c->len - from;

		if (k > left)
			k = left;
		if (out)
			buf_append(out, c->mem + from, k);
		q->begin += k;
		left -= k;
		if (from + k == c->len &&
		    (c->len == c->cap || q->begin == q->end))
			retire_first(q);
	}
	if (q->scan_at < q->begin)
		pending_rewind(q);
}

void pending_take_frame(struct pending *q, struct buf *out)
{
	assert(pending_frames(q));
	pending_take(q, *frame_at(q, 0), out);
}

void pending_clear(struct pending *q)
{
	while (q->first) {
		struct chunk *c = q->first;

		q->first = c->next;
		chunk_free(c);
	}
	free(q->frames);
	*q =
	    (struct pending){.begin = q->end, .end = q->end, .scan_at = q->end};
}

void pending_done(struct pending *q)
{
	pending_clear(q);
}

void pending_rewind(struct pending *q)
{
	q->scan = q->first;
	q->scan_at = q->begin;
}

const uint8_t *pending_scan(struct pending *q, size_t *ret_n, uint64_t *ret_at)
{
	if (q->scan_at == q->end)
		return NULL;
	if (!q->scan)
		q->scan = q->first;
	while (q->scan_at == q->scan->at + q->scan->len)
		q->scan = q->scan->next;
	struct chunk *c = q->scan;
	size_t from = (size_t)(q->scan_at - c->at);

	*ret_n = c->len - from;
	*ret_at = q->scan_at;
	q->scan_at += *ret_n;
	return c->mem + from;
}

size_t pending_tail(const struct pending *q, uint8_t *out, size_t max)
{
	uint64_t from = pending_size(q) > max ? q->end - max : q->begin;
	size_t n = 0;

	for (struct chunk *c = q->first; c; c = c->next) {
		uint64_t end = c->at + c->len;

		if (end <= from)
			continue;
		size_t skip = from > c->at ? (size_t)(from - c->at) : 0;
		memcpy(out + n, c->mem + skip, c->len - skip);
		n += c->len - skip;
	}
	return n;
}
