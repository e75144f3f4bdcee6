/* SPDX-License-Identifier: MIT */
/*
 * A writer of cpio archives in the "newc" format, as the kernel unpacks them
 * (Documentation/driver-api/early-userspace/buffer-format.rst).
 *
 * Owner is root, every time is 0: equal input gives equal bytes. Names are
 * absolute paths in the guest. The first failed write sticks and is what
 * cpio_finish() returns, so that callers check once.
 */
#ifndef VMM_CPIO_H
#define VMM_CPIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"

#define CPIO_ALIGN    512  /* archives start and end at multiples of it */
#define CPIO_NAME_MAX 4095 /* the kernel skips longer ones in silence */
#define CPIO_FILE_MAX UINT32_MAX

struct cpio {
	int fd; /* borrowed */
	int error;
	uint32_t next_ino;
	uint64_t written; /* bytes of this archive, those in out included */
	struct buf out;
	void *dirs; /* tsearch(3): the names, owned, of those made */
};

/* The archive goes to fd's current position, which must be aligned. */
void cpio_init(struct cpio *c, int fd);
void cpio_done(struct cpio *c);

/*
 * Each makes the parents that this archive has not made yet, with 0755. Where
 * an earlier archive has made one, the kernel gives it that mode, and root as
 * its owner. They return 0, -EINVAL for a path that is not absolute, is "/",
 * ends in a slash or holds an empty, "." or ".." component, -ENAMETOOLONG, or
 * -EFBIG.
 */
int cpio_add_dir(struct cpio *c, const char *path, uint32_t perm);
int cpio_add_file(struct cpio *c, const char *path, uint32_t perm,
		  const void *content, size_t n);
int cpio_add_symlink(struct cpio *c, const char *path, const char *target);
int cpio_add_chardev(struct cpio *c, const char *path, uint32_t perm,
		     unsigned major, unsigned minor);

/* The trailer and padding; 0 or the first error of any write. */
int cpio_finish(struct cpio *c);

/* Whether cpio_add_*() would take this path: 0 or their error. */
int cpio_check_path(const char *path);

#endif
