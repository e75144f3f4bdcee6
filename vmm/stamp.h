/* SPDX-License-Identifier: MIT */
/*
 * A stamp remembers what some files were worked into, so that the work need
 * not be repeated, nor the files be hashed, to find that out: it holds the
 * size, time and inode of each and one line of result. It is a short-cut
 * beside a cache that goes by content, never the cache itself.
 *
 * Files are added before they are read: one that changes meanwhile then does
 * not match its stamp.
 */
#ifndef VMM_STAMP_H
#define VMM_STAMP_H

#include <stdbool.h>

#include "agent-proto/buf.h"

struct stamp {
	struct buf text;
	bool is_unsafe; /* a name that cannot be written, or a file so young
			 * that its next change might not show */
};

/* Adds a file or folder as it is now; one that does not exist is noted as
 * that. */
void stamp_add(struct stamp *s, const char *path);
/* The same for a file that only the cache writes, so that it may be young. */
void stamp_add_made(struct stamp *s, const char *path);
/* Adds what another one holds. */
void stamp_append(struct stamp *s, const struct stamp *other);
/* Writes it, replacing an older one. A stamp that cannot be written, or must
 * not, costs time and nothing else. */
void stamp_save(struct stamp *s, const char *path, const char *result);
void stamp_done(struct stamp *s);

/* The result, owned, if path holds a stamp and all its files are as they were;
 * else NULL. */
char *stamp_find(const char *path);

#endif
