/* SPDX-License-Identifier: MIT */
#include "vmm/news.h"

#include <stdint.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "streams/console.h"
#include "streams/stream.h"
#include "vmm/printk.h"

/* A line's longest part that is quoted, in bytes. */
#define QUOTED_LINE_MAX 2048u

static const char quote_intro[] = "; the console ends:";
static const char quote_mark[] = "\n  | ";

/* Where a kernel begins to say what broke it (Linux: lib/bug.c,
 * arch/x86/mm/fault.c, arch/x86/kernel/traps.c, kernel/panic.c). */
static const char *const breakdowns[] = {
    "BUG: ",
    "kernel BUG at ",
    "Oops: ",
    "general protection fault",
    "Kernel panic - not syncing",
    /* provium's agent, which then ends: a panic that says less follows. */
    "the image's /init cannot be executed: ",
};
/* What else a kernel says of its troubles (Linux: mm/oom_kill.c,
 * kernel/hung_task.c, kernel/rcu/tree_stall.h, kernel/panic.c,
 * fs/ext4/super.c, block/blk-core.c). */
static const char *const troubles[] = {
    "Out of memory: ",	      "Memory cgroup out of memory: ",
    "blocked for more than ", "detected stalls on CPUs",
    "WARNING: CPU: ",	      "EXT4-fs error ",
    "I/O error, dev ",
};

/*
 * How the lines begin, behind the time stamp, with which a healthy boot goes on
 * when the guest is up: drivers finish in the background (Linux:
 * arch/x86/kernel/tsc.c, kernel/time/clocksource.c, drivers/char/random.c,
 * drivers/input/input.c, drivers/acpi/button.c, kernel/time/clockevents.c,
 * kernel/time/hrtimer.c).
 */
static const char *const late_lines[] = {
    "tsc: Refined TSC clocksource calibration: ",
    "clocksource: tsc: mask: ",
    "clocksource: Switched to clocksource tsc",
    "random: crng init done",
    "input: Power Button as /devices/",
    "input: AT Translated Set 2 keyboard as /devices/",
    "input: ImExPS/2 Generic Explorer Mouse as /devices/",
    "input: VirtualPS/2 VMware VMMouse as /devices/",
    "ACPI: Power Button [",
    "ACPI: button: Power Button [",
    /* Where the host is busy. */
    "CE: hpet increased min_delta_ns to ",
    "hrtimer: interrupt took ",
};
/* Bytes of a line that are compared with those. */
#define LATE_LINE_LOOK 160

static size_t news_line(const uint8_t *p, size_t n)
{
	const uint8_t *nl = n ? memchr(p, '\n', n) : NULL;

	return nl ? (size_t)(nl + 1 - p) : n;
}

static size_t news_trim(const uint8_t *p, size_t n)
{
	while (n && strchr(" \r\n", p[n - 1]))
		n--;
	return n;
}

static bool news_has(const uint8_t *p, size_t n, const char *const *texts,
		     size_t n_texts)
{
	for (size_t i = 0; i < n_texts; i++)
		if (n && memmem(p, n, texts[i], strlen(texts[i])))
			return true;
	return false;
}

/* Whether a line is of a boot that went well. One that tells of trouble is
 * not. */
static bool news_is_late(const uint8_t *p, size_t n)
{
	char line[LATE_LINE_LOOK + 1] = "";
	const char *text;

	if (news_has(p, n, breakdowns, ARRAY_LEN(breakdowns)) ||
	    news_has(p, n, troubles, ARRAY_LEN(troubles)))
		return false;
	memcpy(line, p, n < LATE_LINE_LOOK ? n : LATE_LINE_LOOK);
	text = printk_text(line);
	for (size_t i = 0; text && i < ARRAY_LEN(late_lines); i++)
		if (strncmp(text, late_lines[i], strlen(late_lines[i])) == 0)
			return true;
	return false;
}

size_t news_line_start(const void *p, size_t from)
{
	const uint8_t *text = p;
	const uint8_t *nl = from ? memrchr(text, '\n', from) : NULL;

	return nl ? (size_t)(nl + 1 - text) : from;
}

void news_skip_boot(struct buf *out, const void *p, size_t n)
{
	const uint8_t *text = p;

	for (size_t at = 0, len; at < n; at += len) {
		len = news_line(text + at, n - at);
		if (!news_is_late(text + at, len))
			buf_append(out, text + at, len);
	}
}

/* Sets the alarm: the first breakdown, else the first trouble. Returns where
 * the breakdown begins, or 0. */
static size_t news_find(struct news *news, const uint8_t *p, size_t n)
{
	for (size_t at = 0, len; at < n; at += len) {
		len = news_line(p + at, n - at);
		bool broke =
		    news_has(p + at, len, breakdowns, ARRAY_LEN(breakdowns));
		bool is_first =
		    !news->alarm.len &&
		    news_has(p + at, len, troubles, ARRAY_LEN(troubles));

		if (!broke && !is_first)
			continue;
		buf_reset(&news->alarm);
		stream_escape_tail(&news->alarm, p + at, news_trim(p + at, len),
				   CONSOLE_LINE_MAX);
		news->is_breakdown = broke;
		if (broke)
			return at;
	}
	return 0;
}

void news_pick(struct news *news, const void *p, size_t n, size_t max)
{
	const uint8_t *text = p;
	size_t from;

	if (!n)
		return;
	from = news_find(news, text, n);

	text += from;
	n -= from;
	if (n > max && news->is_breakdown) {
		const uint8_t *nl = memrchr(text, '\n', max);
		n = nl ? (size_t)(nl + 1 - text) : max;
	} else if (n > max) {
		const uint8_t *nl = memchr(text + n - max - 1, '\n', max);
		from = nl ? (size_t)(nl + 1 - text) : n - max;
		text += from;
		n -= from;
	}
	buf_append(&news->text, text, n);
}

void news_done(struct news *news)
{
	buf_done(&news->text);
	buf_done(&news->alarm);
}

/* --- quotes --------------------------------------------------------------- */

static void quote_line(struct buf *out, const uint8_t *p, size_t n)
{
	buf_append(out, quote_mark, strlen(quote_mark));
	stream_escape_tail(out, p, news_trim(p, n), QUOTED_LINE_MAX);
}

/* Quotes every line; returns how many there are. */
static size_t quote_all(struct buf *out, const uint8_t *p, size_t n)
{
	size_t lines = 0;

	for (size_t at = 0, len; at < n; at += len, lines++) {
		len = news_line(p + at, n - at);
		quote_line(out, p + at, len);
	}
	return lines;
}

/* The start of the last quoted line of p[0..n). */
static size_t quoted_start(const char *p, size_t n)
{
	while (n && p[n - 1] != '\n')
		n--;
	return n ? n - 1 : 0;
}

/* The start of the first quoted line of p[0..n) from which on all fits. */
static size_t quoted_end(const char *p, size_t n, size_t room)
{
	size_t from = 0;

	while (n - from > room) {
		const char *nl = memchr(p + from + 1, '\n', n - from - 1);

		from = nl ? (size_t)(nl - p) : n;
	}
	return from;
}

void news_quote(struct buf *out, const struct news *news, size_t room)
{
	CLEANUP(buf_done) struct buf all = {0};
	const uint8_t *p = buf_data(&news->text);
	size_t n = news_trim(p, news->text.len), from = 0, to;

	if (!quote_all(&all, p, n) || room < strlen(quote_intro))
		return;
	room -= strlen(quote_intro);
	const char *lines = (const char *)buf_data(&all);
	to = all.len;
	if (news->is_breakdown)
		while (to > room)
			to = quoted_start(lines, to);
	else
		from = quoted_end(lines, to, room);
	if (from == to)
		return;
	buf_append(out, quote_intro, strlen(quote_intro));
	buf_append(out, lines + from, to - from);
}

/* Behind the quoted lines at p, or p where there are none. */
static const char *skip_quote(const char *p, const char *end)
{
	while ((size_t)(end - p) >= strlen(quote_mark) &&
	       memcmp(p, quote_mark, strlen(quote_mark)) == 0) {
		const char *nl = memchr(p + 1, '\n', (size_t)(end - p - 1));

		p = nl ? nl : end;
	}
	return p;
}

void news_unquote(struct buf *out, const char *text, size_t n)
{
	const char *end = text + n;

	while (text < end) {
		const char *at = memmem(text, (size_t)(end - text), quote_intro,
					strlen(quote_intro));
		const char *lines = at ? at + strlen(quote_intro) : end;
		const char *behind = skip_quote(lines, end);

		buf_append(out, text,
			   (size_t)((behind > lines ? at : lines) - text));
		text = behind;
	}
}
