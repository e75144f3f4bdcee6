/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a stream that its reader has not taken, and where one frame
 * ends and the next begins. Bytes lie packed in chunks that are never moved;
 * adding and taking cost what they move, however small the frames are.
 *
 * Private to the stream engine.
 */
#ifndef STREAMS_PENDING_H
#define STREAMS_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"

struct chunk;

struct pending {
	struct chunk *first; /* owned list */
	struct chunk *last;
	uint64_t begin;	    /* offset in the stream of the first byte held */
	uint64_t end;	    /* just past the last one */
	struct chunk *scan; /* NULL: the first */
	uint64_t scan_at;   /* offset up to which pending_scan() went */
	uint32_t *frames;   /* a ring of lengths; n_slots is a power of two */
	size_t head;
	size_t n_frames;
	size_t n_slots;
	bool is_open; /* the last frame is to be continued */
	bool is_cut;  /* of the first frame, the beginning was taken */
};

/* A zeroed struct is empty. */
void pending_done(struct pending *q);

/* more: what is added next belongs to the same frame. Frames are cut at
 * STREAM_FRAME_MAX. */
void pending_add(struct pending *q, const void *p, size_t n, bool more);
/* Nothing continues the last frame. */
void pending_seal(struct pending *q);

static inline uint64_t pending_size(const struct pending *q)
{
	return q->end - q->begin;
}
/* Memory that the content takes. */
static inline uint64_t pending_cost(const struct pending *q)
{
	return pending_size(q) + q->n_frames * sizeof(*q->frames);
}
/* Frames that are complete. */
size_t pending_frames(const struct pending *q);

/* Moves the first frame, which must be complete, to the empty out; drops it
 * when out is NULL. */
void pending_take_frame(struct pending *q, struct buf *out);
/* Moves n bytes, not more than there are, to the empty out; drops them when
 * out is NULL. What is left of a frame stays a frame. */
void pending_take(struct pending *q, size_t n, struct buf *out);
/* Drops all. */
void pending_clear(struct pending *q);

/* A walk over all bytes, resumed when more were added. */
void pending_rewind(struct pending *q);
/* The next bytes as one span, or NULL; *ret_at is their offset in the
 * stream. */
const uint8_t *pending_scan(struct pending *q, size_t *ret_n, uint64_t *ret_at);

/* Copies the last bytes, max at the most; returns how many. */
size_t pending_tail(const struct pending *q, uint8_t *out, size_t max);

#endif
