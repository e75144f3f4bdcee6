/* SPDX-License-Identifier: MIT */
/*
 * A directory with everything below it, as one sequence of bytes. An entry is
 * a header of TREE_HEADER bytes, a name and a target:
 *
 *	kind u8, mode u32, name length u16, target length u16 (little-endian)
 *
 * TREE_DIR begins a directory; the entries behind it are in it, until its
 * TREE_UP. TREE_FILE is followed by the file's records (sparse.h). The first
 * record without data ends the file; its hole is the last one. TREE_LINK is a
 * symbolic link with the text in target. The first entry is the directory
 * itself and has no name; its TREE_UP ends the sequence.
 *
 * A name is one component of a path, so no entry can be outside of the
 * directory that it is in. The limits hold for sender and receiver.
 */
#ifndef AGENT_PROTO_TREE_H
#define AGENT_PROTO_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "agent-proto/sparse.h"

#define TREE_HEADER   9u
#define TREE_PERM_MAX 07777u
/* NAME_MAX, and PATH_MAX without its NUL, of linux/limits.h. */
#define TREE_NAME_MAX	255u
#define TREE_TARGET_MAX 4095u
/* Directories in one another, the first among them. Each costs a descriptor. */
#define TREE_DEPTH_MAX 128u
/* Files, directories and links together. */
#define TREE_ENTRIES_MAX (1u << 18)

enum tree_kind { TREE_DIR = 1, TREE_FILE, TREE_LINK, TREE_UP };

struct tree_entry {
	enum tree_kind kind;
	uint32_t mode;	    /* permission bits; 0 of TREE_LINK and TREE_UP */
	const char *name;   /* borrowed; "" of the first and of TREE_UP */
	const char *target; /* borrowed; "" of all but TREE_LINK */
};

/* e is valid. */
void tree_encode(const struct tree_entry *e, struct buf *out);

enum tree_event {
	TREE_MORE,   /* the piece ends within an entry or a record's header */
	TREE_ENTRY,  /* entry; its texts hold until the next call */
	TREE_RECORD, /* a hole of a file, and whether the file ends behind it */
	TREE_DATA    /* the bytes that were used are data of the file */
};

struct tree_token {
	enum tree_event event;
	struct tree_entry entry;
	uint64_t hole;
	bool is_last;
};

/* The place in a sequence; a zeroed struct is its start. */
struct tree_parser {
	uint8_t entry[TREE_HEADER + TREE_NAME_MAX + TREE_TARGET_MAX];
	uint32_t entry_n; /* bytes of the entry that are there */
	char name[TREE_NAME_MAX + 1];
	char target[TREE_TARGET_MAX + 1];
	uint32_t depth;	  /* open directories */
	uint32_t entries; /* so far */
	bool in_file;
	bool has_ended; /* the first directory is complete */
	struct sparse_reader records;
};

/*
 * Reads one token of p[0..n), n > 0. Returns how many bytes it took, at least
 * one. -EPROTO: this is no tree, -EFBIG: it exceeds a limit; err says which.
 * The parser is of no use then.
 */
ssize_t tree_parse(struct tree_parser *t, const uint8_t *p, size_t n,
		   struct tree_token *ret, struct err *err);

#endif
