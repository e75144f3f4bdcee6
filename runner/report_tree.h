/* SPDX-License-Identifier: MIT */
/*
 * A run as one document, for reports that need all of it: every file with its
 * tests, each with its attempts and what it printed. A sink that writes such
 * documents when the run ends, or when it is freed before that.
 *
 * The document, JSON: {"run": run_start, "end": run_end, "files": [file],
 * "pool": [pool event]};
 * file: {"file", "start", "end", "duration", "tests": [test], "errors":
 * [file_error], "vms": [vm event], "artifacts": [path], "log"}; test: its
 * test_end, and "start", "end", "log", "attempts_failed": [test_attempt].
 * Tests, errors and files have "kept", see runner/report_kept.h. Tests, errors
 * and attempts have "transcripts": [failure_console], "packets":
 * [failure_packets], "made": failure_calls.
 * Times are those of the events. Members are there only where something was
 * said; lists always are.
 */
#ifndef RUNNER_REPORT_TREE_H
#define RUNNER_REPORT_TREE_H

#include <jansson.h>
#include <stdio.h>

#include "agent-proto/err.h"
#include "runner/event.h"

/* Bytes of a log that are kept, its end; up to twice as many for a while. */
#define TREE_LOG_MAX (64u << 10)

/* Bytes of the transcripts in a document; those of later failures are empty. */
#define TREE_TRANSCRIPTS_MAX ((size_t)64 << 20)

typedef void (*tree_writer)(FILE *out, const json_t *tree);

/* The writers. */
void report_junit_write(FILE *out, const json_t *tree);
void report_html_write(FILE *out, const json_t *tree);
void report_json_write(FILE *out, const json_t *tree);

struct event_sink *report_tree_new(void);
/* A document to write; to path, aside and renamed, so that a reader never sees
 * half of one; or to out, borrowed, where path is NULL. path is copied. */
void report_tree_add(struct event_sink *sink, const char *path, FILE *out,
		     tree_writer write);
/* Holds all transcripts, however many bytes they have, and all lines of logs up
 * to TREE_LOG_MAX. */
void report_tree_keep_all(struct event_sink *sink);
/* The document; borrowed from the sink. Complete once the run has ended. */
const json_t *report_tree_document(struct event_sink *sink);
/* The first document that could not be written, once the run has ended. */
int report_tree_error(struct event_sink *sink, struct err *err);

/* "" where there is no such string. For names, which hold no NUL byte. */
const char *tree_string(const json_t *o, const char *key);
/* Bytes of a text, which may be NUL; borrowed. */
struct tree_text {
	const char *p;
	size_t n;
};
/* Empty where there is no such string. */
struct tree_text tree_text(const json_t *o, const char *key);
/* The same of a string, or of something else. */
struct tree_text tree_text_of(const json_t *string);
/* The same of a C string. */
struct tree_text tree_text_c(const char *s);
/* Without what follows the first newline, and without that. */
struct tree_text tree_first_line(struct tree_text t);
double tree_number(const json_t *o, const char *key);

#endif
