/* SPDX-License-Identifier: MIT */
/*
 * What a worker tells of a failure beside its message, for the long report: the
 * names of the logs and attachments, each console from power-on, each call.
 */
#ifndef RUNNER_EVIDENCE_H
#define RUNNER_EVIDENCE_H

#include <jansson.h>
#include <stdbool.h>

#include "runner/worker.h"

/* Bytes of one console in a failure_console event; its end is kept. */
#define EVIDENCE_CONSOLE_MAX (256u << 10)
/* Bytes of all consoles of a failure, shared evenly. */
#define EVIDENCE_CONSOLES_MAX (4u << 20)
/* Packets of a bridge in a failure_packets event, the last ones. */
#define EVIDENCE_PACKETS_MAX 200
/* Names of files that a test has; later ones are not told. */
#define EVIDENCE_FILES_MAX 1000

/* A file below the worker's run_dir is the running test's, though no object
 * will tell of it when the test ends: an attachment, the log of a VM that is
 * closed now. No effect between tests, or where no logs are kept. */
void evidence_add_file(struct worker *w, const char *path);
/* Sets "artifacts" of the event: the files that were added, and of a failure
 * the logs of all VMs and bridges. No effect where no logs are kept. */
void evidence_set_artifacts(struct worker *w, json_t *ev, bool is_failure);
/* Sets "source" of the event: the lines around the place; around the place that
 * the event's message begins with where `at` has no file. No effect where there
 * is no such place, or no such file. */
void evidence_set_source(const struct worker *w, json_t *ev,
			 const struct site *at);
/* Emits failure_console for each console that holds something, failure_packets
 * for each bridge that packets passed, and failure_calls. Comes before the
 * event of the failure. */
void evidence_emit(struct worker *w);

#endif
