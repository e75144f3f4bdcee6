/* SPDX-License-Identifier: MIT */
/*
 * A stream that is a tree (tree.h), made a directory of the host as it arrives,
 * in the background. It is the stream's one reader for as long as that lasts.
 */
#ifndef STREAMS_SPOOL_TREE_H
#define STREAMS_SPOOL_TREE_H

#include <stdint.h>

#include "agent-proto/err.h"
#include "streams/op.h"
#include "streams/stream.h"

struct spool_tree;

/* Begins with what is pending. s is borrowed and must not be busy (-EBUSY).
 * path is as tree_writer_new() has it. NULL with err. */
struct spool_tree *spool_tree_new(struct loop *l, struct stream *s,
				  const char *path, struct err *err);
/* Leaves the stream. Removes what is not complete. A wait is cancelled. */
struct spool_tree *spool_tree_free(struct spool_tree *sp);

/*
 * Finishes with 1 when the directory is complete and has its path, with 0 at
 * the deadline or when the stream was closed before its end, else with the
 * error of the host's files, of the stream, or -EPROTO for bytes that are no
 * tree. op is the caller's, initialised by this call; one at a time.
 */
void spool_tree_wait(struct spool_tree *sp, struct op *op, int64_t deadline_ns);

#endif
