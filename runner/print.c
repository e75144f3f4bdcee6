/* SPDX-License-Identifier: MIT */
#include "runner/print.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "runner/text.h"

#define EXCERPT_AROUND 1   /* lines before and after */
#define EXCERPT_WIDTH  160 /* bytes of a line */

/* ECMA-48 SGR. */
static const char *const styles[] = {
    [PRINT_PLAIN] = "",		[PRINT_GOOD] = "\033[32m",
    [PRINT_BAD] = "\033[1;31m", [PRINT_WARN] = "\033[33m",
    [PRINT_DIM] = "\033[2m",	[PRINT_TITLE] = "\033[1m",
    [PRINT_GOT] = "\033[31m",	[PRINT_EXPECTED] = "\033[32m",
};
static_assert(ARRAY_LEN(styles) == PRINT_EXPECTED + 1, "a style an enum value");

void print_bytes(const struct printer *p, enum print_style style, const char *s,
		 size_t n)
{
	struct buf b = {0};
	bool is_styled = p->is_colored && styles[style][0];

	text_escape(&b, s, n);
	if (is_styled)
		fputs(styles[style], p->out);
	if (b.len)
		fwrite(buf_data(&b), 1, b.len, p->out);
	if (is_styled)
		fputs("\033[m", p->out);
	buf_done(&b);
}

void print_text(const struct printer *p, enum print_style style, const char *s)
{
	print_bytes(p, style, s, strlen(s));
}

void print_lines(const struct printer *p, enum print_style style,
		 const char *prefix, const char *s, size_t n)
{
	const char *end = s + n;

	while (s < end) {
		const char *newline = memchr(s, '\n', (size_t)(end - s));
		const char *stop = newline ? newline : end;
		size_t len = (size_t)(stop - s);

		while (newline && len && s[len - 1] == '\r')
			len--;
		fputs(len ? prefix : "", p->out);
		print_bytes(p, style, s, len);
		fputc('\n', p->out);
		s = newline ? newline + 1 : end;
	}
}

const char *print_tail(const char *s, size_t n, size_t max)
{
	size_t lines = 0;

	if (n && s[n - 1] == '\n')
		n--;
	while (n) {
		if (s[n - 1] == '\n' && ++lines == max)
			break;
		n--;
	}
	return s + n;
}

void print_duration(const struct printer *p, enum print_style style,
		    double seconds)
{
	CLEANUP(free_ptr) char *s = NULL;
	long minutes = (long)(seconds / 60);

	if (seconds < 0.9995)
		s = mem_printf("%.0f ms", seconds * 1000);
	else if (seconds < 60)
		s = mem_printf("%.2f s", seconds);
	else
		s = mem_printf("%ld m %02ld s", minutes,
			       (long)seconds - 60 * minutes);
	print_text(p, style, s);
}

static FILE *open_regular(const char *file)
{
	CLEANUP(fd_closep)
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	return fdopen(TAKE_FD(fd), "re");
}

void print_excerpt(FILE *out, const char *file, int64_t line)
{
	const struct printer p = {.out = out};
	CLEANUP(file_closep) FILE *f = open_regular(file);
	CLEANUP(free_ptr) char *text = NULL;
	size_t cap = 0;
	ssize_t n;

	for (int64_t i = 1; f && i <= line + EXCERPT_AROUND; i++) {
		n = getline(&text, &cap, f);
		if (n < 0)
			break;
		if (i < line - EXCERPT_AROUND)
			continue;
		while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
			n--;
		if (n > EXCERPT_WIDTH)
			n = EXCERPT_WIDTH;
		fprintf(out, "%s %4lld | ", i == line ? ">" : " ",
			(long long)i);
		print_bytes(&p, PRINT_PLAIN, text, (size_t)n);
		fputc('\n', out);
	}
}

void print_quoted(const struct printer *p, const char *indent,
		  const char *title, const char *s, size_t n, size_t max_lines)
{
	CLEANUP(free_ptr) char *quote = mem_printf("%s  | ", indent);
	const char *from = print_tail(s, n, max_lines);

	fputs(indent, p->out);
	print_text(p, PRINT_TITLE, title);
	if (from > s) {
		CLEANUP(free_ptr)
		char *note = mem_printf(" (last %zu lines)", max_lines);
		print_text(p, PRINT_DIM, note);
	}
	fputc('\n', p->out);
	print_lines(p, PRINT_DIM, quote, from, n - (size_t)(from - s));
}
