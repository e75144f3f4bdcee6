/* SPDX-License-Identifier: MIT */
/*
 * Reads a directory with everything below it as the bytes of tree.h, names in
 * the order of their bytes. Symbolic links are not followed. What vanishes
 * while the directory is read is left out.
 */
#ifndef AGENT_PROTO_TREE_READ_H
#define AGENT_PROTO_TREE_READ_H

#include <stddef.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"

struct tree_reader;

/* take_fd is the open directory. path is what errors call it, and place is put
 * behind it, such as " on the host"; place is borrowed. */
struct tree_reader *tree_reader_new(int take_fd, const char *path,
				    const char *place);
/*
 * Appends the next bytes to out: about n of them, fewer at the end. Returns 1
 * when more will come, 0 when that was all, negative with err: a call that
 * failed; -EINVAL for what is no file, directory or link; -EFBIG for a limit
 * of tree.h; -ENODATA for a file that becomes shorter meanwhile.
 */
int tree_reader_next(struct tree_reader *t, struct buf *out, size_t n,
		     struct err *err);
/* NULL is allowed. Returns NULL. */
struct tree_reader *tree_reader_free(struct tree_reader *t);

#endif
