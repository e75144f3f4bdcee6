/* SPDX-License-Identifier: MIT */
/*
 * Reporters: sinks that turn events into something to read. None of them lets
 * a byte through that a terminal would obey.
 */
#ifndef RUNNER_REPORT_H
#define RUNNER_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "runner/event.h"

struct report_options {
	bool is_colored;
	bool is_quiet;	     /* failures and the summary only */
	bool reads_no_files; /* the source may be of another machine */
	bool is_verbose;     /* what passing tests logged, too */
};

/* A line a test, failures with all that is known, and as the last line
 * "N passed, N failed". out is borrowed. */
struct event_sink *report_plain_new(FILE *out,
				    const struct report_options *opts);
/* What there is, by file, from plans. out is borrowed. */
struct event_sink *report_list_new(FILE *out,
				   const struct report_options *opts);
/* What report_plain_new() makes, grouped by file, for a terminal: its last
 * line tells what runs. out is borrowed. */
struct event_sink *report_tty_new(FILE *out, const struct report_options *opts);
/* TAP 13. out is borrowed. */
struct event_sink *report_tap_new(FILE *out);
/* Commands and annotations of a GitHub Actions job around what next prints to
 * out; summary: path of the step summary, or NULL. Owns next. */
struct event_sink *report_github_new(FILE *out, const char *summary,
				     struct event_sink *take_next);
/* The events themselves, one a line. out is borrowed. */
struct event_sink *report_events_new(FILE *out);

/*
 * Files that run at the same time, as if one had run after the other: what
 * happens in others while one is reported is held back. Owns next.
 */
struct event_sink *report_group_new(struct event_sink *take_next);
/* Each event to both; owns them. b may be NULL. */
struct event_sink *report_tee_new(struct event_sink *take_a,
				  struct event_sink *take_b);

/* Time goes on: for sinks that show it. */
void report_tick(struct event_sink *sink);
/* NULL is fine. */
struct event_sink *report_free(struct event_sink *sink);

#endif
