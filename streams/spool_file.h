/* SPDX-License-Identifier: MIT */
/*
 * A stream written to a file of the host as it arrives, in the background. It
 * is the stream's one reader for as long as that lasts.
 */
#ifndef STREAMS_SPOOL_FILE_H
#define STREAMS_SPOOL_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/err.h"
#include "streams/op.h"
#include "streams/stream.h"

struct spool_file;

/*
 * Creates or truncates path and begins with what is pending. s is borrowed, and
 * must not be busy (-EBUSY); the file is not touched then. NULL with err.
 */
struct spool_file *spool_file_new(struct loop *l, struct stream *s,
				  const char *path, struct err *err);
/* The same of a stream that is records (sparse.h): holes are left out of path,
 * a regular file. Records that break off are -EPROTO. */
struct spool_file *spool_file_new_sparse(struct loop *l, struct stream *s,
					 const char *path, struct err *err);
/* Everything that is pending is written now, and the file is complete. A file
 * that takes no more (a pipe that nobody reads) is waited for no longer than
 * SPOOL_FILE_PATIENCE_NS, then that is its error. To be called before the
 * stream is closed; idempotent. A wait ends too. */
void spool_file_finish(struct spool_file *sp);
/* Leaves the stream; what is pending stays so. A wait is cancelled. */
struct spool_file *spool_file_free(struct spool_file *sp);

#define SPOOL_FILE_PATIENCE_NS (5 * NS_PER_SEC)

/*
 * Finishes with 1 when the stream has ended and all of it is in the file, with
 * 0 at the deadline, with the error of a file that cannot be written or of a
 * stream that broke. op is the caller's, initialised by this call; one at a
 * time.
 */
void spool_file_wait(struct spool_file *sp, struct op *op, int64_t deadline_ns);

const char *spool_file_path(const struct spool_file *sp);
/* Bytes in the file. */
uint64_t spool_file_written(const struct spool_file *sp);
/* Nothing more will be written: the end, an error, finished. */
bool spool_file_is_over(const struct spool_file *sp);
/* Why the file could not be written, or NULL. */
const struct err *spool_file_error(const struct spool_file *sp);

#endif
