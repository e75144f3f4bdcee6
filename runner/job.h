/* SPDX-License-Identifier: MIT */
/*
 * What the parent hands to a worker: one test file and how to treat it. It
 * travels as one JSON line, the first on the worker's socket.
 */
#ifndef RUNNER_JOB_H
#define RUNNER_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "agent-proto/mem.h"

struct job {
	char *file;	      /* absolute path of the *.test.lua */
	char *display;	      /* the path as reports show it */
	char *config;	      /* path of the config in use, or "" for none */
	char *run_dir;	      /* private to the worker, exists, 0700 */
	bool is_shared;	      /* other files run at the same time */
	bool list_only;	      /* report the tests, run none, boot nothing */
	bool keeps_logs;      /* also those that cost something: of packets */
	bool is_debug;	      /* a test that failed is held: runner/debug.h */
	bool is_fail_fast;    /* no test is run after one that failed */
	struct strvec select; /* which tests: rules of runner/select.h */
	/* Tests that an earlier worker reported, named as in its events. */
	struct strvec skip;
	int64_t timeout_ns; /* default for a test */
	int64_t retries;    /* likewise */
	/* Above 0: the tests come in another order, this one's. */
	int64_t shuffle;
	int64_t verbose;
};

void job_done(struct job *j);
/* Appends the line, newline included. */
void job_encode(const struct job *j, struct buf *out);
int job_decode(struct job *j, const char *line, size_t n, struct err *err);

/*
 * The worker process: reads its job from fd, runs the file, writes events to fd
 * (runner/event.h), returns the exit status: 0 when every event was written.
 */
int worker_main(int fd);

#endif
