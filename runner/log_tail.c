/* SPDX-License-Identifier: MIT */
#include "runner/log_tail.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

void log_tail_done(struct log_tail *t)
{
	buf_done(&t->text);
	*t = (struct log_tail){0};
}

static size_t log_tail_count(const char *s, size_t n)
{
	const char *end = s + n;
	size_t lines = 0;

	while (s < end && (s = memchr(s, '\n', (size_t)(end - s)))) {
		lines++;
		s++;
	}
	return lines;
}

/* Drops the oldest lines until LOG_TAIL_MAX bytes are left at the most. */
static void log_tail_shorten(struct log_tail *t)
{
	size_t n, before;

	log_tail_last(t, SIZE_MAX, LOG_TAIL_MAX, &n, &before);
	t->lines -= before - t->dropped_lines;
	t->dropped_lines = before;
	buf_consume(&t->text, t->text.len - n);
}

void log_tail_add(struct log_tail *t, const char *s, size_t n)
{
	bool is_open = !n || s[n - 1] != '\n';

	buf_append(&t->text, s, n);
	if (is_open)
		buf_append(&t->text, "\n", 1);
	t->lines += log_tail_count(s, n) + is_open;
	if (t->text.len > 2 * LOG_TAIL_MAX)
		log_tail_shorten(t);
}

const char *log_tail_last(const struct log_tail *t, size_t max_lines,
			  size_t max_bytes, size_t *ret_n, size_t *ret_before)
{
	const char *all = t->text.len ? (const char *)buf_data(&t->text) : "";
	size_t from = t->text.len, lines = 0;

	while (from && lines < max_lines) {
		const char *newline = memrchr(all, '\n', from - 1);
		size_t at = newline ? (size_t)(newline - all) + 1 : 0;

		if (t->text.len - at > max_bytes)
			break;
		from = at;
		lines++;
	}
	if (!lines && max_lines && t->text.len > max_bytes) {
		from = t->text.len - max_bytes;
		lines = 1;
	}
	*ret_n = t->text.len - from;
	*ret_before = t->dropped_lines + t->lines - lines;
	return all + from;
}

void log_tail_write(const struct log_tail *t, size_t max_lines,
		    size_t max_bytes, struct buf *out)
{
	size_t n, before;
	const char *last = log_tail_last(t, max_lines, max_bytes, &n, &before);

	if (before)
		buf_printf(out, "[%zu line%s before this]\n", before,
			   before == 1 ? "" : "s");
	buf_append(out, last, n);
}
