/* SPDX-License-Identifier: MIT */
/* Text on its way to a terminal or a log; private to the reporters. */
#ifndef RUNNER_PRINT_H
#define RUNNER_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum print_style {
	PRINT_PLAIN,
	PRINT_GOOD,
	PRINT_BAD,
	PRINT_WARN,
	PRINT_DIM,
	PRINT_TITLE,
	PRINT_GOT,
	PRINT_EXPECTED,
};

struct printer {
	FILE *out; /* borrowed */
	bool is_colored;
};

/* s, escaped, in that style. */
void print_text(const struct printer *p, enum print_style style, const char *s);
/* The same of n bytes. */
void print_bytes(const struct printer *p, enum print_style style, const char *s,
		 size_t n);
/* Each line of s[0..n) as its own, behind prefix (verbatim); a final newline
 * and the CR of CRLF are not shown. */
void print_lines(const struct printer *p, enum print_style style,
		 const char *prefix, const char *s, size_t n);
/* The last `max` lines of s, as a pointer into it. */
const char *print_tail(const char *s, size_t n, size_t max);
/* The last max_lines lines of s, quoted below a title, which says so where
 * there are more. */
void print_quoted(const struct printer *p, const char *indent,
		  const char *title, const char *s, size_t n, size_t max_lines);
/* "12 ms", "1.62 s", "2 m 03 s". */
void print_duration(const struct printer *p, enum print_style style,
		    double seconds);
/* The lines around `line` of a file, ">    3 | text" that line and "     4 |
 * text" the others; nothing if unreadable. */
void print_excerpt(FILE *out, const char *file, int64_t line);

#endif
