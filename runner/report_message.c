/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. runner/lua/diff.lua makes the texts that have colours
 * here. A text may also hold what a command printed, so the forms are exact:
 * signs at the start of a line count only above the line that explains them.
 */
#include "runner/report_message.h"

#include <stdbool.h>
#include <string.h>

#include "agent-proto/mem.h"

#define LEGEND "  (- expected, + got)"

struct span {
	const char *p;
	size_t n;
};

static struct span message_line(const char *s, size_t n)
{
	const char *newline = memchr(s, '\n', n);

	return (struct span){s, newline ? (size_t)(newline - s) : n};
}

static bool begins_with(struct span line, const char *with)
{
	size_t n = strlen(with);

	return line.n >= n && !memcmp(line.p, with, n);
}

static bool has_legend(const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		struct span line = message_line(s + i, n - i);

		if (line.n == strlen(LEGEND) && begins_with(line, LEGEND))
			return true;
		i += line.n + 1;
	}
	return false;
}

static void report_message_put_span(const struct printer *p,
				    enum print_style style, const char *from,
				    const char *to)
{
	if (to > from)
		print_bytes(p, style, from, (size_t)(to - from));
}

/* "  got:      1": the value has the style. */
static bool put_labelled(const struct printer *p, struct span line)
{
	static const struct {
		const char *label;
		enum print_style style;
	} labels[] = {
	    {"  got:      ", PRINT_GOT},
	    {"  expected: ", PRINT_EXPECTED},
	};

	for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
		const char *value = line.p + strlen(labels[i].label);

		if (!begins_with(line, labels[i].label))
			continue;
		report_message_put_span(p, PRINT_PLAIN, line.p, value);
		report_message_put_span(p, labels[i].style, value,
					line.p + line.n);
		return true;
	}
	return false;
}

/* "  .a.b: got 1, expected 2" */
static bool put_pair(const struct printer *p, struct span line)
{
	static const char before_got[] = ": got ", between[] = ", expected ";
	const char *end = line.p + line.n;
	const char *got =
	    memmem(line.p, line.n, before_got, strlen(before_got));
	const char *comma =
	    got ? memmem(got, (size_t)(end - got), between, strlen(between))
		: NULL;

	if (!comma || !begins_with(line, "  "))
		return false;
	got += strlen(before_got);
	report_message_put_span(p, PRINT_PLAIN, line.p, got);
	report_message_put_span(p, PRINT_GOT, got, comma);
	report_message_put_span(p, PRINT_PLAIN, comma, comma + strlen(between));
	report_message_put_span(p, PRINT_EXPECTED, comma + strlen(between),
				end);
	return true;
}

static enum print_style style_in_diff(struct span line)
{
	if (begins_with(line, "  - "))
		return PRINT_EXPECTED;
	if (begins_with(line, "  + "))
		return PRINT_GOT;
	return begins_with(line, LEGEND) ? PRINT_DIM : PRINT_PLAIN;
}

static void put_message_line(const struct printer *p, struct span line,
			     bool is_diff)
{
	if (is_diff)
		print_bytes(p, style_in_diff(line), line.p, line.n);
	else if (!put_labelled(p, line) && !put_pair(p, line))
		print_bytes(p, PRINT_PLAIN, line.p, line.n);
}

void report_message_write(const struct printer *p, const char *indent,
			  const char *s, size_t n)
{
	bool is_diff = p->is_colored && has_legend(s, n);

	for (size_t i = 0; i < n;) {
		struct span line = message_line(s + i, n - i);

		i += line.n + 1;
		while (i <= n && line.n && line.p[line.n - 1] == '\r')
			line.n--;
		fputs(line.n ? indent : "", p->out);
		if (p->is_colored)
			put_message_line(p, line, is_diff);
		else
			print_bytes(p, PRINT_PLAIN, line.p, line.n);
		fputc('\n', p->out);
	}
}

/* ">    3 | text" */
static void put_source_line(const struct printer *p, struct span line)
{
	static const char bar[] = " | ";
	bool is_marked = begins_with(line, ">");
	const char *text = memmem(line.p, line.n, bar, strlen(bar));

	if (!is_marked || !text) {
		print_bytes(p, PRINT_DIM, line.p, line.n);
		return;
	}
	text += strlen(bar);
	report_message_put_span(p, PRINT_BAD, line.p, text);
	report_message_put_span(p, PRINT_TITLE, text, line.p + line.n);
}

void report_message_source(const struct printer *p, const char *indent,
			   const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		struct span line = message_line(s + i, n - i);

		i += line.n + 1;
		fputs(line.n ? indent : "", p->out);
		put_source_line(p, line);
		fputc('\n', p->out);
	}
}
