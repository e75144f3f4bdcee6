/* SPDX-License-Identifier: MIT */
/*
 * Numbers that jansson does not hold as they are: integers from 2^63 to
 * 2^64 - 1, and doubles in their shortest form. In a tree they are strings
 * that begin with a mark, which no other text has: 64 random bits.
 */
#ifndef RUNNER_JSON_MARK_H
#define RUNNER_JSON_MARK_H

#include <stdbool.h>
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

/* Whether v is one of json_mark_u64(). */
bool json_mark_is_u64(const struct json_mark *m, const json_t *v,
		      uint64_t *ret);

/* Appends dumped text, its marked strings as the numbers that they are. */
void json_mark_resolve(const struct json_mark *m, const char *dumped,
		       struct buf *out);

/* Appends JSON text, its integers from 2^63 to 2^64 - 1 as marked strings. */
void json_mark_integers(const struct json_mark *m, const char *text, size_t n,
			struct buf *out);
/* Which column of the original that one is, counted from 1, of the last of
 * the n bytes of marked text. */
int json_mark_column(const struct json_mark *m, const char *marked, size_t n,
		     int column);

#endif
