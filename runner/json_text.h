/* SPDX-License-Identifier: MIT */
/* JSON as text, with every number as short as it may be: jansson writes all
 * reals with the same count of digits, so that two may look alike. */
#ifndef RUNNER_JSON_TEXT_H
#define RUNNER_JSON_TEXT_H

#include <stddef.h>

#include <jansson.h>

/* Bytes of a real as text, with its NUL. */
#define JSON_REAL_MAX 32

/* The fewest digits, 15 to 17, that give n again; "inf" and "nan" as such. */
const char *json_text_real(double n, char ret[JSON_REAL_MAX]);
/* json_dumps() with such reals; 1 stays "1.0". flags: without a precision.
 * Owned by the caller, for free(); NULL as of json_dumps(). */
char *json_text(const json_t *v, size_t flags);

#endif
