/* SPDX-License-Identifier: MIT */
/*
 * Events: what happens in a run, as JSON objects, one a line. Workers write
 * them to their parent; every report is made from them. Each has "event" and
 * "time" (seconds since the epoch). Version EVENT_VERSION.
 * docs/events.md says what each holds; event_schema.h is the same as a table.
 *
 * A worker sends more, which is for its parent alone: ask {id, kind, memory,
 * cpus, what, place}, withdraw {id}, give_back {memory, cpus}, parked {asks}
 * are about the pool (runner/pool.h); deferred in place of a plan asks that the
 * file be run later, and alone. A file of which that is possible is not told of
 * before its plan. marked has what test_end will have of the failure of the
 * test that runs, or no message where that was taken back: what ends the worker
 * loses no failure.
 *
 * timeout is how long the worker will let the chunk (file_start) or the test
 * run, in seconds; without it the job's default counts. A worker that is
 * silent for some seconds after it is killed by the parent. "output" and
 * "artifacts" come from the parent alone, and so do run_start and run_end.
 */
#ifndef RUNNER_EVENT_H
#define RUNNER_EVENT_H

#include <jansson.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"

#define EVENT_VERSION  1
#define EVENT_LINE_MAX (8u << 20)
/* Longer strings are cut, with a note. */
#define EVENT_STRING_MAX (1u << 20)
#define EVENT_NAME_MAX	 4096u /* of names in an event that had to be cut */

/* A new object with event and time set; the caller owns the reference. */
json_t *event_begin(const char *event);
/* Bytes that are not UTF-8 become U+FFFD; owned. */
json_t *event_string(const char *s, size_t n);
/* Appends one line. An event that would be longer than EVENT_LINE_MAX loses
 * what it carries and keeps what it is about. */
void event_encode(const json_t *ev, struct buf *out);
/* NULL with err for what is not an event. The caller owns the reference. */
json_t *event_decode(const char *line, size_t n, struct err *err);

/* A consumer of events: a reporter. */
struct event_sink {
	void (*event)(struct event_sink *sink, const json_t *ev);
	void (*free)(struct event_sink *sink);
	/* Time goes on, while a run does; NULL: of no interest. */
	void (*tick)(struct event_sink *sink);
};

#endif
