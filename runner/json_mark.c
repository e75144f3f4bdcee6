/* SPDX-License-Identifier: MIT */
#include "runner/json_mark.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define DIGITS_MAX 17 /* of a double: more say nothing */
#define DIGITS_MIN 15 /* that many always come back from a double */

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
	char digits[32];

	for (int i = DIGITS_MIN; i <= DIGITS_MAX; i++) {
		snprintf(digits, sizeof(digits), "%.*g", i, n);
		if (strtod(digits, NULL) == n)
			break;
	}
	return marked(m, digits);
}

bool json_mark_is_u64(const struct json_mark *m, const json_t *v, uint64_t *ret)
{
	const char *s = json_string_value(v);
	size_t n = strlen(m->text);

	if (!s || strncmp(s, m->text, n) != 0)
		return false;
	*ret = strtoull(s + n, NULL, 10);
	return true;
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

/* --- integers of a text ---------------------------------------------------*/

static bool is_of_number(char c)
{
	return isalnum((unsigned char)c) || c == '+' || c == '-' || c == '.';
}

/* Behind the string that opens at p. */
static const char *string_end(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	return p < end ? p + 1 : end;
}

static const char *word_end(const char *p, const char *end)
{
	while (p < end && is_of_number(*p))
		p++;
	return p;
}

/* Exactly an integer of that range, and no more digits than it needs. */
static bool is_large(const char *p, size_t n)
{
	char word[32];
	char *end;

	if (*p < '1' || *p > '9' || n >= sizeof(word))
		return false;
	memcpy(word, p, n);
	word[n] = '\0';
	errno = 0;
	unsigned long long v = strtoull(word, &end, 10);
	return !*end && !errno && v > INT64_MAX;
}

void json_mark_integers(const struct json_mark *m, const char *text, size_t n,
			struct buf *out)
{
	const char *p = text, *end = text + n;

	while (p < end) {
		const char *to = *p == '"'	    ? string_end(p, end)
				 : is_of_number(*p) ? word_end(p, end)
						    : p + 1;
		size_t len = (size_t)(to - p);

		if (is_large(p, len))
			buf_printf(out, "\"%s%.*s\"", m->text, (int)len, p);
		else
			buf_append(out, p, len);
		p = to;
	}
}

int json_mark_column(const struct json_mark *m, const char *marked, size_t n,
		     int column)
{
	int extra = (int)strlen(m->text) + 2; /* and two quotes */

	for (size_t i = n; i-- > 0 && marked[i] != '\n';)
		if (n - i >= strlen(m->text) &&
		    !memcmp(marked + i, m->text, strlen(m->text)))
			column -= extra;
	return column;
}
