/* SPDX-License-Identifier: MIT */
/*
 * A folder of a cache that several processes fill: one writer at a time under
 * a lock, results written aside in "tmp-..." and renamed, what a killed writer
 * left is swept by the next one.
 */
#ifndef VMM_STORE_H
#define VMM_STORE_H

#include <stddef.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"

/* The folder and its parents, 0755. err names the first that cannot be made. */
int store_mkdirs(const char *path, struct err *err);

/*
 * Makes dir, waits for its lock and sweeps tmp-*. Returns an fd whose closing
 * unlocks (a writer's death does too), or the error; -EINTR when a signal
 * came while waiting. on_wait, which may be NULL, is called before waiting.
 */
int store_lock(const char *dir, void (*on_wait)(void *ctx), void *ctx,
	       struct err *err);

/* A new dir/tmp-XXXXXX for the holder of the lock; owned, NULL with err. */
char *store_tmp(const char *dir, struct err *err);

/* Removes a file or a whole tree; one that is not there is fine. */
void store_remove(const char *path);

/* All of a file, appended to out. -EFBIG beyond max. */
int store_read(const char *path, size_t max, struct buf *out, struct err *err);
/* Creates path (it must not exist) and brings it to the disk. */
int store_write(const char *path, const void *p, size_t n, struct err *err);

#endif
