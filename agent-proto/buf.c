/* SPDX-License-Identifier: MIT */
#include "agent-proto/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/mem.h"

#define BUF_CAP_MIN 256

uint8_t *buf_room(struct buf *b, size_t n)
{
	size_t end = b->head + b->len;

	if (b->cap - end >= n && b->mem)
		return b->mem + end;
	/* Slide only when at least half is free, so that it amortises. */
	if (b->head >= b->len && b->cap - b->len >= n && b->mem) {
		memmove(b->mem, b->mem + b->head, b->len);
		b->head = 0;
		return b->mem + b->len;
	}
	size_t cap = b->cap ? b->cap : BUF_CAP_MIN;
	while (cap - b->len < n)
		cap *= 2;
	uint8_t *mem = mem_alloc(cap);
	if (b->mem)
		memcpy(mem, b->mem + b->head, b->len);
	free(b->mem);
	b->mem = mem;
	b->head = 0;
	b->cap = cap;
	return b->mem + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->head - b->len);
	b->len += n;
}

void buf_append(struct buf *b, const void *src, size_t n)
{
	if (!n)
		return;
	memcpy(buf_room(b, n), src, n);
	buf_commit(b, n);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = mem_vprintf(fmt, ap);
	va_end(ap);
	buf_append(b, s, strlen(s));
	free(s);
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= b->len);
	b->head += n;
	b->len -= n;
	if (!b->len)
		b->head = 0;
}

void buf_reset(struct buf *b)
{
	b->head = b->len = 0;
}

void buf_done(struct buf *b)
{
	free(b->mem);
	*b = (struct buf){0};
}
