/* SPDX-License-Identifier: MIT */
/*
 * A growable byte queue: append at the end, consume from the front. Consuming
 * is O(1); the bytes stay contiguous, so a parser sees one span. A zeroed
 * struct is an empty buffer.
 *
 * buf_room() invalidates pointers taken before; buf_consume() does not move
 * anything.
 */
#ifndef AGENT_PROTO_BUF_H
#define AGENT_PROTO_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *mem; /* owned */
	size_t head;  /* offset of the first byte */
	size_t len;   /* bytes held */
	size_t cap;
};

/* NULL while nothing was ever put in. */
static inline uint8_t *buf_data(const struct buf *b)
{
	return b->mem ? b->mem + b->head : NULL;
}

/*
 * Makes room for at least n more bytes behind the content and returns where
 * they go; follow with buf_commit(written).
 */
uint8_t *buf_room(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

void buf_append(struct buf *b, const void *src, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Drops n bytes from the front; n <= len. */
void buf_consume(struct buf *b, size_t n);
/* Empties it and keeps the memory. */
void buf_reset(struct buf *b);
/* Frees the memory and leaves an empty buffer. */
void buf_done(struct buf *b);

#endif
