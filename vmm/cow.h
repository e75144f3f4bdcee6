/* SPDX-License-Identifier: MIT */
/*
 * The content of a disk that provium itself serves: files that lie on each
 * other, block by block, and above them what was written and not flushed.
 *
 *	cache	written since the last flush; a power cut loses it
 *	top	flushed
 *	layers	of snapshots, never written again
 *	base	the user's image, raw; what is not there is zero
 *
 * The top may be the user's image itself, which then has every block.
 * Everything is done at once, from the host's page cache.
 */
#ifndef VMM_COW_H
#define VMM_COW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/err.h"

#define COW_BLOCK 4096
/* Two bits are kept in memory for each block: 64 MiB. */
#define COW_SIZE_MAX (UINT64_C(1) << 40)

struct cow;

/* A disk of size bytes. dir: where the cache goes, without a name. base: open
 * to read and borrowed, or -1. */
struct cow *cow_new(uint64_t size, const char *dir, int base, struct err *err);
struct cow *cow_free(struct cow *c);
/* A layer on those that there are: borrowed. It is a top that was frozen;
 * -EBADMSG where it is none of such a disk. */
int cow_add_layer(struct cow *c, int fd, struct err *err);
/* What is flushed goes to fd, from now on: borrowed, and empty; is_whole: it
 * is an image that has every block. */
void cow_set_top(struct cow *c, int fd, bool is_whole);
/* Flushes, and makes the top complete, for cow_add_layer() to read: the caller
 * then gives it back as that, and sets another. */
int cow_freeze(struct cow *c, struct err *err);
/* A flushed block is in the top. */
bool cow_has_data(const struct cow *c);

/* 0 or -errno. off + n is within the disk. */
int cow_read(const struct cow *c, uint64_t off, void *p, size_t n);
/* is_flushed: as if a flush of these bytes alone had followed. */
int cow_write(struct cow *c, uint64_t off, const void *p, size_t n,
	      bool is_flushed);
int cow_flush(struct cow *c);
/* Loses what was not flushed. */
void cow_cut(struct cow *c);

#endif
