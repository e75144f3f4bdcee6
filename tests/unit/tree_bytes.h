/* SPDX-License-Identifier: MIT */
/* Trees (agent-proto/tree.h) as bytes, for tests. */
#ifndef TESTS_UNIT_TREE_BYTES_H
#define TESTS_UNIT_TREE_BYTES_H

#include <string.h>

#include "agent-proto/tree.h"

static inline void tree_dir(struct buf *b, const char *name, uint32_t mode)
{
	tree_encode(&(struct tree_entry){TREE_DIR, mode, name, ""}, b);
}

static inline void tree_up(struct buf *b)
{
	tree_encode(&(struct tree_entry){TREE_UP, 0, "", ""}, b);
}

static inline void tree_link(struct buf *b, const char *name,
			     const char *target)
{
	tree_encode(&(struct tree_entry){TREE_LINK, 0, name, target}, b);
}

static inline void tree_record(struct buf *b, uint64_t hole, const char *text)
{
	uint8_t header[SPARSE_HEADER];

	sparse_encode(header, hole, strlen(text));
	buf_append(b, header, sizeof(header));
	buf_append(b, text, strlen(text));
}

/* A file without holes. */
static inline void tree_file(struct buf *b, const char *name, uint32_t mode,
			     const char *text)
{
	tree_encode(&(struct tree_entry){TREE_FILE, mode, name, ""}, b);
	if (*text)
		tree_record(b, 0, text);
	tree_record(b, 0, "");
}

#endif
