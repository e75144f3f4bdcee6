/* SPDX-License-Identifier: MIT */
/* Helpers of the image tests: a private folder, files in it, and a reader of
 * concatenated newc archives that follows the kernel's unpacker. */
#ifndef TESTS_UNIT_VMM_LIB_IMAGE_H
#define TESTS_UNIT_VMM_LIB_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/mem.h"

/* A new folder under /tmp; owned. */
char *tmp_new(void);
/* Removes it and all below; NULL is fine. */
void tmp_remove(char *take_dir);

/* Writes dir/name, making parents; returns the path, owned. */
char *tmp_write(const char *dir, const char *name, const void *p, size_t n);
char *tmp_write_str(const char *dir, const char *name, const char *text);
/* The bytes of a file; fails the test when it cannot be read. */
struct buf tmp_read(const char *path);

struct entry {
	char *name; /* as stored, owned */
	uint32_t mode;
	uint32_t nlink;
	uint32_t rdev_major, rdev_minor;
	size_t at;     /* of its header in the file */
	char *content; /* owned, NUL behind it */
	size_t n;
};

struct archive {
	struct entry *e;
	size_t n;
	size_t n_trailers;
};

/* Fails the test on anything that the kernel would not unpack. */
struct archive archive_read(const struct buf *b);
void archive_done(struct archive *a);
/* The last entry of that name (NULL: there is none), as the kernel counts. */
const struct entry *archive_find(const struct archive *a, const char *name);

#endif
