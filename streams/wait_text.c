/* SPDX-License-Identifier: MIT */
#include "streams/wait_text.h"

#include <errno.h>
#include <stdbool.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "streams/stream.h"

/* Of a pattern, and of the whole list: a struct err has to hold these and the
 * excerpt. */
#define PATTERN_TEXT_MAX  128
#define PATTERNS_TEXT_MAX 512

static void escape_byte(struct buf *out, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	char named = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : 0;
	char text[] = {'\\', named, 0, 0};

	if (c >= ' ' && c < 0x7f) {
		buf_append(out, &c, 1);
		return;
	}
	if (named) {
		buf_append(out, text, 2);
		return;
	}
	text[1] = 'x';
	text[2] = hex[c >> 4];
	text[3] = hex[c & 15];
	buf_append(out, text, 4);
}

void stream_escape_tail(struct buf *out, const void *p, size_t n, size_t max)
{
	const uint8_t *at = p;

	for (size_t i = n > max ? n - max : 0; i < n; i++)
		escape_byte(out, at[i]);
}

static void add_pattern(struct buf *out, const struct stream_pattern *pat)
{
	bool is_cut = pat->n > PATTERN_TEXT_MAX;

	buf_append(out, "`", 1);
	stream_escape_tail(out, pat->p, is_cut ? PATTERN_TEXT_MAX : pat->n,
			   PATTERN_TEXT_MAX);
	if (is_cut)
		buf_printf(out, "...` (%zu bytes)", pat->n);
	else
		buf_append(out, "`", 1);
}

static void add_patterns(struct buf *out, const struct wait_text *t)
{
	for (size_t i = 0; i < t->n_patterns; i++) {
		if (i)
			buf_printf(out, "%s",
				   i + 1 == t->n_patterns ? " or " : ", ");
		if (i && out->len > PATTERNS_TEXT_MAX / 2) {
			buf_printf(out, "%zu more", t->n_patterns - i);
			return;
		}
		add_pattern(out, &t->patterns[i]);
	}
}

void wait_text_excerpt(struct buf *out, const uint8_t *tail, size_t n)
{
	if (!n) {
		buf_printf(out, "nothing is pending");
		return;
	}
	buf_printf(out, "last bytes: \"");
	stream_escape_tail(out, tail, n, STREAM_EXCERPT_MAX);
	buf_append(out, "\"", 1);
}

int wait_text_timeout(struct err *err, const struct wait_text *t)
{
	CLEANUP(buf_done) struct buf text = {0};

	add_patterns(&text, t);
	buf_append(&text, "; ", 2);
	wait_text_excerpt(&text, t->tail, t->tail_n);
	if (t->held_up)
		buf_append(&text, buf_data(t->held_up), t->held_up->len);
	return err_set(err, -ETIMEDOUT, "%s timed out waiting for %.*s",
		       t->verb, (int)text.len, (const char *)buf_data(&text));
}

int wait_text_broken(struct err *err, int code, const char *what,
		     const struct wait_text *t)
{
	CLEANUP(buf_done) struct buf text = {0};

	add_patterns(&text, t);
	buf_append(&text, "; ", 2);
	wait_text_excerpt(&text, t->tail, t->tail_n);
	return err_set(err, code, "%s: %s was waiting for %.*s", what, t->verb,
		       (int)text.len, (const char *)buf_data(&text));
}
