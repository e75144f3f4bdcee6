/* SPDX-License-Identifier: MIT */
/*
 * What a run hands to a worker: one test file and how to treat it. The worker
 * is forked from the run, so it finds this in its memory.
 */
#ifndef RUNNER_JOB_H
#define RUNNER_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/mem.h"
#include "runner/output_mark.h"

struct job {
	const char *file;    /* absolute path of the *.test.lua */
	const char *display; /* the path as reports show it */
	const char *config;  /* path of the config in use, or "" for none */
	const char *run_dir; /* private to the worker, exists, 0700 */
	/* Borrowed; the mark that stands in its output at each event; NULL:
	 * none. */
	const struct output_mark *mark;
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

#endif
