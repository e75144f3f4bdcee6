/* SPDX-License-Identifier: MIT */
#include "runner/json_mark.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "runner/json_text.h"

void json_mark_init(struct json_mark *m)
{
	uint64_t random = 0;

	/* Without entropy the mark is one that a text could have, if it meant
	 * to. */
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = 0;
	snprintf(m->text, sizeof(m->text), "number:%016" PRIx64 ":", random);
}

static json_t *marked(const struct json_mark *m, const char *digits)
{
	return json_sprintf("%s%s", m->text, digits);
}

json_t *json_mark_u64(const struct json_mark *m, uint64_t n)
{
	char digits[32];

	snprintf(digits, sizeof(digits), "%" PRIu64, n);
	return marked(m, digits);
}

json_t *json_mark_real(const struct json_mark *m, double n)
{
	char digits[JSON_REAL_MAX];

	return marked(m, json_text_real(n, digits));
}

void json_mark_resolve(const struct json_mark *m, const char *dumped,
		       struct buf *out)
{
	size_t n = strlen(m->text);
	const char *at;

	while ((at = strstr(dumped, m->text))) {
		const char *digits = at + n;
		size_t len = strcspn(digits, "\"");

		/* The quotes around it go. */
		buf_append(out, dumped, (size_t)(at - 1 - dumped));
		buf_append(out, digits, len);
		dumped = digits + len + 1;
	}
	buf_append(out, dumped, strlen(dumped));
}
