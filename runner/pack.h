/* SPDX-License-Identifier: MIT */
/*
 * The format strings of string.pack, as Lua 5.4 defines them (reference
 * manual, section 6.4.2): one option after the other, with the padding that
 * alignment asks for. Knows nothing of Lua values.
 */
#ifndef RUNNER_PACK_H
#define RUNNER_PACK_H

#include <stdbool.h>
#include <stddef.h>

#include "agent-proto/err.h"

enum pack_kind {
	PACK_SIGNED,
	PACK_UNSIGNED,
	PACK_FLOAT,  /* 4 bytes */
	PACK_DOUBLE, /* 8 bytes */
	PACK_FIXED,  /* a string of exactly `size` bytes, padded with zeros */
	PACK_PREFIX, /* a string behind its length, an integer of `size` */
	PACK_ZERO,   /* a string ended by a zero byte */
	PACK_PAD,    /* one zero byte; no value */
	PACK_ALIGN,  /* nothing but padding; no value */
};

struct pack_item {
	enum pack_kind kind;
	size_t size;
	size_t padding; /* zero bytes before it */
};

struct pack_format {
	const char *text; /* borrowed */
	size_t n;
	size_t at; /* offset of the next option */
	bool is_big_endian;
	size_t max_align;
};

#define PACK_INT_MAX 16 /* bytes of an integer */

void pack_format_init(struct pack_format *f, const char *text, size_t n);

/* The next option, when `total` bytes are packed already. 1; 0 at the end;
 * -EINVAL with err naming the option and its position. */
int pack_next(struct pack_format *f, size_t total, struct pack_item *ret,
	      struct err *err);

#endif
