/* SPDX-License-Identifier: MIT */
/*
 * What a report tells of a failure beside its message: the calls that the test
 * made and how long they took, and the lines of the source.
 */
#ifndef RUNNER_TRAIL_H
#define RUNNER_TRAIL_H

#include <jansson.h>
#include <lua.h>
#include <stdint.h>

#include "runner/lua_state.h"

#define TRAIL_CALLS   12
#define TRAIL_CALL_NS 1000000 /* shorter ones are no news */

/* The last calls that took a while, oldest overwritten first. */
struct trail {
	struct {
		const char *method; /* static */
		struct site at;
		int64_t span_ns;
	} calls[TRAIL_CALLS];
	unsigned n; /* ever */
};

void trail_reset(struct trail *t);
/* A call that began at started_ns (0: it never did) is over. */
void trail_call_over(struct trail *t, lua_State *L, const char *method,
		     int64_t started_ns);
/* An array of calls as in events, oldest first; owned. */
json_t *trail_calls(const struct trail *t);
/* The lines around a line of a file, as text; NULL: unreadable. Owned. */
json_t *trail_source(const char *file, int line);

#endif
