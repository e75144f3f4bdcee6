/* SPDX-License-Identifier: MIT */
#include "runner/json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"

#define DIGITS_MAX 17 /* of a double: more say nothing */
#define DIGITS_MIN 15 /* so many always come back from a double */

const char *json_text_real(double n, char ret[JSON_REAL_MAX])
{
	for (int i = DIGITS_MIN; i <= DIGITS_MAX; i++) {
		snprintf(ret, JSON_REAL_MAX, "%.*g", i, n);
		if (strtod(ret, NULL) == n)
			break;
	}
	return ret;
}

/* The length of the string that begins at p, with its quotes. */
static size_t string_length(const char *p)
{
	size_t n = 1;

	while (p[n] && p[n] != '"')
		n += p[n] == '\\' && p[n + 1] ? 2 : 1;
	return n + (p[n] == '"');
}

static void put_number(struct buf *out, const char *p, size_t n)
{
	char digits[JSON_REAL_MAX];

	if (strcspn(p, ".eE") >= n) {
		buf_append(out, p, n);
		return;
	}
	json_text_real(strtod(p, NULL), digits);
	buf_append(out, digits, strlen(digits));
	if (!strpbrk(digits, ".e"))
		buf_append(out, ".0", 2);
}

char *json_text(const json_t *v, size_t flags)
{
	CLEANUP(buf_done) struct buf out = {0};
	char *dumped = json_dumps(v, flags | JSON_REAL_PRECISION(DIGITS_MAX));

	if (!dumped)
		return NULL;
	for (const char *p = dumped; *p;) {
		size_t n = strspn(p, "-0123456789");

		if (n) {
			n = strspn(p, "-+.0123456789eE");
			put_number(&out, p, n);
		} else {
			n = *p == '"' ? string_length(p)
				      : strcspn(p, "\"-0123456789");
			buf_append(&out, p, n);
		}
		p += n;
	}
	free(dumped);
	return mem_strndup((const char *)buf_data(&out), out.len);
}
