/* SPDX-License-Identifier: MIT */
/*
 * Numbers that jansson does not write as they are: integers from 2^63 to
 * 2^64 - 1, and doubles in their shortest form. In a tree they are strings
 * that begin with a mark, which no other text has: 64 random bits.
 */
#ifndef RUNNER_JSON_MARK_H
#define RUNNER_JSON_MARK_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "agent-proto/buf.h"

#define JSON_MARK_SIZE 32

struct json_mark {
	char text[JSON_MARK_SIZE]; /* plain ASCII */
};

void json_mark_init(struct json_mark *m);

/* The number as a string with the mark; owned by the caller. */
json_t *json_mark_u64(const struct json_mark *m, uint64_t n);
/* n is finite. The fewest digits that give n again. */
json_t *json_mark_real(const struct json_mark *m, double n);

/* Appends dumped text, its marked strings as the numbers that they are. */
void json_mark_resolve(const struct json_mark *m, const char *dumped,
		       struct buf *out);

#endif
