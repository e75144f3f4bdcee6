/* SPDX-License-Identifier: MIT */
/*
 * What a test prints, for its report: all of a short text, the last lines of a
 * long one, and the number of the lines before them.
 */
#ifndef RUNNER_LOG_TAIL_H
#define RUNNER_LOG_TAIL_H

#include <stddef.h>

#include "agent-proto/buf.h"

/* Lines that the report of a failure shows. */
#define LOG_TAIL_LINES 200
/* Bytes that are kept of a log, which may be twice as long for a while. */
#define LOG_TAIL_MAX ((size_t)256 << 10)

struct log_tail {
	struct buf text;      /* each line with its newline */
	size_t lines;	      /* in text */
	size_t dropped_lines; /* that stood before text */
};

void log_tail_done(struct log_tail *t);
/* Adds what was printed at once. The last line may lack its newline. */
void log_tail_add(struct log_tail *t, const char *s, size_t n);

/* The last max_lines lines that fit into max_bytes. *ret_n: their bytes, with
 * the newlines; *ret_before: the lines before them. A single line that does not
 * fit shows its end. Borrowed until the next change. */
const char *log_tail_last(const struct log_tail *t, size_t max_lines,
			  size_t max_bytes, size_t *ret_n, size_t *ret_before);
/* Appends the same as text, below a line such as "[9800 lines before this]". */
void log_tail_write(const struct log_tail *t, size_t max_lines,
		    size_t max_bytes, struct buf *out);

#endif
