/* SPDX-License-Identifier: MIT */
#include "streams/console_alarm.h"

#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"

void alarms_done(struct console_alarms *a)
{
	match_free(a->match);
	free(a->patterns);
	strvec_done(&a->texts);
	buf_done(&a->line);
	*a = (struct console_alarms){0};
}

void alarms_set(struct console_alarms *a, const char *const *texts, size_t n,
		console_alarm_cb cb, void *ctx)
{
	alarms_done(a);
	a->cb = cb;
	a->ctx = ctx;
	for (size_t i = 0; i < n; i++)
		if (texts[i][0])
			strvec_add(&a->texts, texts[i]);
	if (!a->texts.n)
		return;
	a->patterns = mem_realloc_array(NULL, a->texts.n, sizeof(*a->patterns));
	for (size_t i = 0; i < a->texts.n; i++)
		a->patterns[i] = (struct stream_pattern){
		    (const uint8_t *)a->texts.v[i], strlen(a->texts.v[i])};
	a->match = match_new(a->patterns, a->texts.n);
}

/* p goes on the present line, or holds the beginning of a new one. */
static void follow_line(struct console_alarms *a, const uint8_t *p, size_t n)
{
	const uint8_t *nl = n ? memrchr(p, '\n', n) : NULL;

	if (nl) {
		buf_reset(&a->line);
		n -= (size_t)(nl + 1 - p);
		p = nl + 1;
	}
	if (n > CONSOLE_LINE_MAX) {
		p += n - CONSOLE_LINE_MAX;
		n = CONSOLE_LINE_MAX;
	}
	buf_append(&a->line, p, n);
	if (a->line.len > CONSOLE_LINE_MAX)
		buf_consume(&a->line, a->line.len - CONSOLE_LINE_MAX);
}

void alarms_flush(struct console_alarms *a)
{
	CLEANUP(buf_done) struct buf text = {0};
	struct buf line = a->line;

	if (!a->is_tripped)
		return;
	a->is_tripped = false;
	a->line = (struct buf){0};
	match_reset(a->match);
	while (line.len && strchr("\r\n", buf_data(&line)[line.len - 1]))
		line.len--;
	stream_escape_tail(&text, buf_data(&line), line.len, line.len);
	buf_append(&text, "", 1);
	for (size_t i = 0; i < a->texts.n; i++) {
		const struct stream_pattern *pat = &a->patterns[i];

		if (i == a->tripped ||
		    (line.len &&
		     memmem(buf_data(&line), line.len, pat->p, pat->n)))
			a->cb(a->ctx, a->texts.v[i],
			      (const char *)buf_data(&text));
	}
	buf_done(&line);
}

/* Until an alarm is found; returns how much of p was used. */
static size_t console_alarm_search(struct console_alarms *a, const uint8_t *p,
				   size_t n)
{
	struct match_hit hit;

	if (!match_feed(a->match, p, n, &hit)) {
		follow_line(a, p, n);
		return n;
	}
	a->is_tripped = true;
	a->tripped = hit.index;
	a->room = CONSOLE_LINE_MAX;
	follow_line(a, p, hit.end);
	return hit.end;
}

/* The rest of the line that holds the alarm. */
static size_t complete_line(struct console_alarms *a, const uint8_t *p,
			    size_t n)
{
	size_t k = n < a->room ? n : a->room;
	const uint8_t *nl = memchr(p, '\n', k);

	if (nl)
		k = (size_t)(nl + 1 - p);
	buf_append(&a->line, p, k);
	a->room -= k;
	if (nl || !a->room)
		alarms_flush(a);
	return k;
}

void alarms_feed(struct console_alarms *a, const uint8_t *p, size_t n)
{
	while (a->match && n) {
		size_t k = a->is_tripped ? complete_line(a, p, n)
					 : console_alarm_search(a, p, n);

		p += k;
		n -= k;
	}
}
