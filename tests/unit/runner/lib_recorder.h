/* SPDX-License-Identifier: MIT */
/* A sink that keeps each event as a short text, one a line. */
#ifndef TESTS_RUNNER_LIB_RECORDER_H
#define TESTS_RUNNER_LIB_RECORDER_H

#include "runner/event.h"

struct recorder {
	struct event_sink sink;
	struct buf text;
	unsigned n_pool; /* "pool" events, which are not in text */
	unsigned n_ticks;
};

void recorder_init(struct recorder *r);
void recorder_done(struct recorder *r);
/* What came since the last call, as lines like
 * "test_end a failed: message"; valid until the next event. */
const char *recorder_take(struct recorder *r);

#endif
