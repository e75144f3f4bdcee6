/* SPDX-License-Identifier: MIT */
/*
 * Events that were written to files, told to a sink again: those of one run, or
 * those of several (the shards of a CI matrix) as if they had been one. The
 * bytes come from outside: whatever they are, it is events of the schema that
 * reach the sink, or an error that names file and line.
 */
#ifndef RUNNER_REPLAY_H
#define RUNNER_REPLAY_H

#include <stdbool.h>
#include <stdio.h>

#include "agent-proto/err.h"
#include "runner/event.h"

struct replay {
	struct event_sink *sink; /* borrowed */
	json_int_t passed;
	json_int_t failed;
	json_int_t skipped;
	json_int_t errors;
	json_int_t files_run;
	double duration;     /* of the longest run, seconds */
	char *interrupted;   /* why one of them ended early, or NULL */
	json_int_t n_runs;   /* that were read */
	json_int_t left_out; /* slow tests */
};

void replay_init(struct replay *r, struct event_sink *sink);
void replay_done(struct replay *r);

/*
 * Reads `in` to its end; name is for errors. A last line that is cut off is
 * taken for the end of a run that was killed. Negative: what came before the
 * error has been told.
 */
int replay_file(struct replay *r, FILE *in, const char *name, struct err *err);
/* Tells run_end, of all the files. */
void replay_end(struct replay *r);

#endif
