/* SPDX-License-Identifier: MIT */
/*
 * A reader of JSON (RFC 8259) as programs print it: a token a call, in the
 * order of the text. What the RFC leaves open is taken as most readers take it:
 * an object may have a key twice, a key may hold NUL, and a number may be of
 * any size; one that no integer type holds is the nearest double, or infinite.
 */
#ifndef RUNNER_JSON_READ_H
#define RUNNER_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"

/* Arrays and objects in each other. */
#define JSON_DEPTH_MAX 2048

enum json_token {
	JSON_TOKEN_END,	  /* of the text, behind its one value */
	JSON_TOKEN_ERROR, /* json_read_error() says which */
	JSON_TOKEN_NULL,
	JSON_TOKEN_FALSE,
	JSON_TOKEN_TRUE,
	JSON_TOKEN_INTEGER,  /* in integer */
	JSON_TOKEN_UNSIGNED, /* 2^63 to 2^64 - 1, in large */
	JSON_TOKEN_REAL,     /* in real */
	JSON_TOKEN_STRING,   /* in string */
	JSON_TOKEN_KEY,	     /* in string; its value follows */
	JSON_TOKEN_ARRAY,
	JSON_TOKEN_ARRAY_END,
	JSON_TOKEN_OBJECT,
	JSON_TOKEN_OBJECT_END,
};

struct json_reader {
	const char *text; /* borrowed */
	size_t n;	  /* bytes of text */
	size_t at;	  /* offset of the next one */
	/* Borrowed; UTF-8, any character. */
	struct buf *string;
	int64_t integer;
	uint64_t large;
	double real;
	const char *problem; /* a literal; NULL: none yet */
	int state;	     /* which tokens may follow */
	size_t depth;
	bool is_object[JSON_DEPTH_MAX]; /* of each level; else an array */
};

/* string is where strings are put. */
void json_read_init(struct json_reader *r, const char *text, size_t n,
		    struct buf *string);
/* After an error or the end it returns the same again. */
enum json_token json_read_next(struct json_reader *r);
/* Fills err with line, column (in characters) and what is wrong. */
void json_read_error(const struct json_reader *r, struct err *err);

#endif
