/* SPDX-License-Identifier: MIT */
/*
 * The part of a console that explains a failure, and how messages quote it. A
 * healthy boot explains nothing: callers leave it out. A kernel that is in
 * trouble says so in a line of its own; where it broke down, the news begin
 * with that line.
 */
#ifndef VMM_NEWS_H
#define VMM_NEWS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent-proto/buf.h"

/* Zeroed: nothing. */
struct news {
	struct buf text;   /* whole lines, as they came */
	struct buf alarm;  /* the line of the kernel's trouble, escaped */
	bool is_breakdown; /* text begins with the kernel's breakdown */
};

/* At most max bytes of p[0..n): from the kernel's breakdown on, else the last
 * lines. */
void news_pick(struct news *news, const void *p, size_t n, size_t max);
void news_done(struct news *news);
/* Where the line begins that goes on at `from` of p; from where that is not
 * to be seen. */
size_t news_line_start(const void *p, size_t from);
/* Appends p[0..n), the console of a guest that is up, without the lines that
 * its kernel prints late at every boot. */
void news_skip_boot(struct buf *out, const void *p, size_t n);

/* Appends "; the console ends:" and the lines of the news, each on a line of
 * its own that begins with "  | ", as many as fit into room bytes. Nothing
 * where there is no news. */
void news_quote(struct buf *out, const struct news *news, size_t room);
/* Appends a text without such lines. */
void news_unquote(struct buf *out, const char *text, size_t n);

#endif
