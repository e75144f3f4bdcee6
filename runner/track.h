/* SPDX-License-Identifier: MIT */
/*
 * What is known of one test file while workers run it: which tests there are,
 * which are reported, which one runs. It takes what workers say and how they
 * end, and makes of it one consistent account: every test is reported once,
 * whatever becomes of the workers. No I/O, no clock: times come in.
 */
#ifndef RUNNER_TRACK_H
#define RUNNER_TRACK_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "runner/event.h"

struct track_spec {
	const char *display;
	bool list_only;
	bool is_fail_fast; /* no test is run after one that failed */
	/* What comes before the plan is held back until then, so that
	 * track_forget() may leave no trace. */
	bool holds;
	const char *repeat; /* the command that brings back the order of a
			     * shuffled run; NULL: it is not shuffled */
	int64_t timeout_ns; /* default of a test */
	int64_t grace_ns;   /* what a worker gets beyond a deadline */
};

struct track_totals {
	unsigned passed;
	unsigned failed;
	unsigned skipped;
	unsigned errors;   /* failures outside of any test */
	unsigned listed;   /* tests named in plans */
	unsigned left_out; /* slow tests that are not in them */
};

struct track {
	struct track_spec spec; /* strings borrowed */
	struct event_sink *sink;
	int64_t started_ns;
	json_t *planned;  /* array of the plan's tests, NULL before it */
	json_t *reported; /* object, a key per reported test */
	char *running;	  /* the test that runs, or NULL */
	int64_t line;	  /* of it */
	json_t *marked;	  /* event of its failure, while it runs; or NULL */
	json_t *attempt;  /* event of its last attempt, which failed; or NULL */
	int64_t test_started_ns;
	int64_t deadline_ns; /* of it, or of what is between tests */
	bool is_ended;	     /* the worker sent file_end */
	bool has_progress;   /* this worker reported a test */
	json_t *held;	     /* array of events; NULL: none is held back */
	struct track_totals totals;
};

/* Emits file_start. */
void track_init(struct track *t, const struct track_spec *spec,
		struct event_sink *sink, int64_t now_ns);
/* Emits file_end. */
void track_done(struct track *t, int64_t now_ns);

/* A fresh worker begins; skip gets the tests that it is to leave out. */
void track_worker_start(struct track *t, struct strvec *skip, int64_t now_ns);
/* An event of the worker, which may be changed. Negative: it makes no sense. */
int track_event(struct track *t, json_t *ev, int64_t now_ns, struct err *err);
/* In place of track_done(): the file is for later, and nothing of it was
 * reported. */
void track_forget(struct track *t);
/* A line that the worker printed. */
void track_output(struct track *t, const char *line, size_t n);

/* What was kept of the worker: paths. */
void track_artifacts(struct track *t, const struct strvec *paths);

/*
 * The worker ended, or was ended, before the file did; why is said of the
 * test that ran, or else of the file. True: the rest of the file wants
 * another worker.
 */
bool track_worker_lost(struct track *t, const char *why, int64_t now_ns);
/* The worker ended after file_end. why NULL: well. Always the end. */
void track_worker_end(struct track *t, const char *why, int64_t now_ns);
/* The file's time is over, and its worker gone: nothing more of it is run. */
void track_late(struct track *t, const char *why, int64_t now_ns);
/* The file stood still for so long: that does not count. */
void track_shift(struct track *t, int64_t span_ns);
/* The running test takes long. */
void track_slow(struct track *t, int64_t now_ns);
/* What the worker waits for, an array of calls; NULL: it does not say. */
void track_waiting(struct track *t, const json_t *calls, int64_t now_ns);
/* The run is being ended from outside: the running test counts as skipped,
 * unless a failure of it is known; the rest is not reported. */
void track_interrupt(struct track *t, const char *why, int64_t now_ns);
/* A failure outside of tests. */
void track_file_error(struct track *t, const char *message);

#endif
