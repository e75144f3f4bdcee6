/* SPDX-License-Identifier: MIT */
/*
 * A run: test files through worker processes, some at a time, and one account
 * of it as events.
 */
#ifndef RUNNER_RUN_H
#define RUNNER_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "agent-proto/clock.h"
#include "agent-proto/err.h"
#include "runner/budget.h"
#include "runner/discover.h"
#include "runner/event.h"
#include "runner/track.h"

#define RUN_TIMEOUT_DEFAULT (60 * NS_PER_SEC)
#define RUN_SLOW_DEFAULT    (30 * NS_PER_SEC)
#define RUN_GRACE_DEFAULT   (5 * NS_PER_SEC)
#define RUN_JOBS_MAX	    256

struct job;
struct lua_State;
typedef int run_worker(struct lua_State *take_L, const struct job *job, int fd);

struct run_options {
	const char *config;    /* path of the config in use, "" for none */
	struct strvec select;  /* rules of runner/select.h; borrowed */
	const char *artifacts; /* keep failures' console logs here, or NULL */
	run_worker *worker;    /* what a worker does; NULL: worker_main() */
	const char *pressure;  /* as of budget_is_pressed(); NULL: the host's */
	int64_t timeout_ns;    /* default of a test */
	int64_t file_timeout_ns; /* 0: none */
	int64_t run_timeout_ns;	 /* 0: none */
	int64_t slow_ns; /* a test that runs so long is told of; 0: none is */
	/* What a worker gets to end a test that is overdue, and to exit. */
	int64_t grace_ns;
	/* Files at a time, up to RUN_JOBS_MAX; 0: as many as the host has CPUs
	 * and the budget has room for a guest each. */
	unsigned jobs;
	unsigned retries; /* of a test that does not say */
	int64_t shuffle;  /* above 0: order of the tests of a file, as job's */
	/* The command that brings that order back, but for the file to run;
	 * NULL: it is not shuffled. */
	const char *repeat;
	struct budget_wish wish;
	int verbose;
	bool list_only;
	/* Not NULL: a test that failed is held, with a prompt there; lines are
	 * read from debug_in. Files are run one by one. */
	FILE *debug_out;
	int debug_in;
	bool is_fail_fast;    /* the first failure ends the run */
	bool keeps_artifacts; /* of files without failures, too */
};

struct run_result {
	struct track_totals totals;
	unsigned files_run;
	int signal;	 /* that ended the run early, or 0 */
	bool is_overdue; /* run_timeout_ns did */
	bool is_cut;	 /* is_fail_fast did */
};

/* The command that runs the file alone in the order of this shuffled run;
 * owned, NULL: the run is not shuffled. */
char *run_repeat(const struct run_options *o, const char *display);

/*
 * Runs all files, in their order (who knows which failed last time, or take
 * long, puts those first), emits run_start to run_end to sink. SIGINT, SIGTERM,
 * SIGHUP and SIGPIPE end it early, but in order: workers are asked to end, what
 * ran is reported; a second one kills them at once. SIGUSR1 reports what each
 * test waits for. Negative only if the run could not begin.
 */
int run_files(const struct run_options *opts, const struct test_files *files,
	      struct event_sink *sink, struct run_result *ret, struct err *err);

#endif
