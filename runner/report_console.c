/* SPDX-License-Identifier: MIT */
#include "runner/report_console.h"

#include <string.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/report_tree.h"

/* Lines of a console that are shown: its last ones, and of one that begins with
 * a kernel's breakdown. */
#define CONSOLE_LINES 25
#define TROUBLE_LINES 80
#define CONSOLE_LINE  400 /* bytes of a line */

static const char *console_get(const json_t *ev, const char *key)
{
	return json_string_value(json_object_get(ev, key));
}

/* Whether the message quotes the console to its end, as that of a dead VM
 * does. */
static bool console_is_quoted(const json_t *ev, const char *console, size_t n)
{
	struct tree_text message = tree_text(ev, "message");

	while (n && (console[n - 1] == '\r' || console[n - 1] == '\n' ||
		     console[n - 1] == ' '))
		n--;
	const char *last = print_tail(console, n, 1);
	size_t len = n - (size_t)(last - console);
	return len && memmem(message.p, message.n, last, len);
}

/* Of each line no more than its end: a guest may print one without end. */
static void console_shorten(struct buf *out, const char *s, size_t n)
{
	while (n) {
		const char *newline = memchr(s, '\n', n);
		size_t len = newline ? (size_t)(newline - s) + 1 : n;
		size_t cut = len > CONSOLE_LINE ? len - CONSOLE_LINE : 0;

		if (cut)
			buf_append(out, "...", 3);
		buf_append(out, s + cut, len - cut);
		s += len;
		n -= len;
	}
}

/* A console that begins with the kernel's trouble is shown whole. */
static size_t console_max_lines(const char *text, const char *alarm)
{
	return alarm && !strncmp(text, alarm, strlen(alarm)) ? TROUBLE_LINES
							     : CONSOLE_LINES;
}

static void console_put(const struct printer *p, const char *indent,
			const char *vm, const json_t *text, const char *alarm)
{
	CLEANUP(buf_done) struct buf b = {0};
	CLEANUP(free_ptr) char *title = mem_printf("console of %s", vm);

	console_shorten(&b, json_string_value(text), json_string_length(text));
	print_quoted(p, indent, title, (char *)buf_data(&b), b.len,
		     console_max_lines(json_string_value(text), alarm));
}

void report_console_alarms(const struct printer *p, const char *indent,
			   const json_t *ev)
{
	const json_t *list = json_object_get(ev, "console");
	struct tree_text message = tree_text(ev, "message");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *console = json_array_get(list, i);
		const char *alarm = console_get(console, "alarm");

		if (!alarm ||
		    memmem(message.p, message.n, alarm, strlen(alarm)))
			continue;
		fputs(indent, p->out);
		print_text(p, PRINT_WARN, console_get(console, "vm"));
		fputs(" printed: ", p->out);
		print_text(p, PRINT_WARN, alarm);
		fputc('\n', p->out);
	}
}

void report_console_write(const struct printer *p, const char *indent,
			  const json_t *ev)
{
	const json_t *list = json_object_get(ev, "console");
	CLEANUP(buf_done) struct buf silent = {0};

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *console = json_array_get(list, i);
		const json_t *text = json_object_get(console, "text");
		const char *vm = console_get(console, "vm");

		if (!json_string_length(text))
			buf_printf(&silent, "%s%s", silent.len ? ", " : "",
				   vm ? vm : "?");
		else if (!console_is_quoted(ev, json_string_value(text),
					    json_string_length(text)))
			console_put(p, indent, vm ? vm : "?", text,
				    console_get(console, "alarm"));
	}
	if (!silent.len)
		return;
	fputs(indent, p->out);
	print_text(p, PRINT_TITLE, "console of ");
	print_bytes(p, PRINT_TITLE, (char *)buf_data(&silent), silent.len);
	print_text(p, PRINT_DIM, ": nothing since the test began");
	fputc('\n', p->out);
}
