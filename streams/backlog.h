/* SPDX-License-Identifier: MIT */
/*
 * What a reader has not come for: records, in order, in a file without a
 * name. Blocks go to and from the file, so a small record costs no system
 * call, and memory holds two blocks at the most, whatever waits. The disk gets
 * back what was read.
 *
 * Private to the capture.
 */
#ifndef STREAMS_BACKLOG_H
#define STREAMS_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"

/* The file is written and read in steps of this. */
#define BACKLOG_BLOCK ((size_t)256 << 10)
/* Bytes of one record. */
#define BACKLOG_RECORD_MAX ((size_t)1 << 20)

struct backlog {
	char *dir;     /* owned */
	int fd;	       /* -1: no file yet */
	uint64_t from; /* of the file: what was not read yet */
	uint64_t end;
	uint64_t max;
	struct buf in;	/* read, not dropped yet */
	struct buf out; /* to be written */
};

/* max: bytes that may wait, 4 for each record included. dir is copied. */
void backlog_init(struct backlog *b, const char *dir, uint64_t max);
void backlog_done(struct backlog *b);

bool backlog_is_empty(const struct backlog *b);

/* Adds 1 to BACKLOG_RECORD_MAX bytes. An error (-ENOSPC, ...) says why nothing
 * more can be kept: put nothing after it. Every record before this one can
 * still be read, and this one too if it was the disk that failed. */
int backlog_put(struct backlog *b, const void *p, size_t n, struct err *err);

/* The first record, valid until the next call of put, peek or done; NULL when
 * there is none (err->code 0), or it cannot be read. */
const uint8_t *backlog_peek(struct backlog *b, size_t *ret_n, struct err *err);
/* Drops what peek gave. */
void backlog_drop(struct backlog *b);

#endif
