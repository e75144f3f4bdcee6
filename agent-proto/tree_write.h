/* SPDX-License-Identifier: MIT */
/*
 * Makes a directory from the bytes of tree.h. They may come from somebody who
 * means harm: nothing is made outside of the new directory, and no link is
 * followed in it.
 *
 * The directory is built under another name beside its path and takes its
 * place when it is complete, so there is all of it or nothing.
 */
#ifndef AGENT_PROTO_TREE_WRITE_H
#define AGENT_PROTO_TREE_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/err.h"

/* How names of unfinished directories begin; ".provium-PID-TIME". */
#define TREE_ASIDE_PREFIX ".provium-"

struct tree_writer;

/*
 * path must not exist (-ENOENT where its parent does not), or be an empty
 * directory (-ENOTEMPTY, -ENOTDIR) that is no mount point (-EBUSY). A link at
 * path is followed. place is put behind paths in errors, such as " on the
 * host"; borrowed. NULL with err.
 */
struct tree_writer *tree_writer_new(const char *path, const char *place,
				    struct err *err);
/* Takes the next n bytes. Negative with err: a call that failed, or -EPROTO or
 * -EFBIG of tree_parse(). The writer is only to be freed then. */
int tree_writer_put(struct tree_writer *w, const void *bytes, size_t n,
		    struct err *err);
/* The bytes are complete: sets the directory's mode and gives it its path.
 * -EPROTO: they break off. */
int tree_writer_finish(struct tree_writer *w, struct err *err);
/* Bytes of files so far, without holes. */
uint64_t tree_writer_bytes(const struct tree_writer *w);
/* Removes what was not finished. NULL is allowed. Returns NULL. */
struct tree_writer *tree_writer_free(struct tree_writer *w);

#endif
