/* SPDX-License-Identifier: MIT */
/*
 * What a report tells of a failure beside its message: the calls that the test
 * made and how long they took, and the lines of the source.
 */
#ifndef RUNNER_TRAIL_H
#define RUNNER_TRAIL_H

#include <jansson.h>
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "runner/lua_state.h"

#define TRAIL_CALLS    12
#define TRAIL_CALL_NS  1000000 /* shorter ones are no news */
#define TRAIL_NOTE_MAX 200     /* bytes of a note, its NUL included */

/* The places that called and waited, the one that did so last at the end. The
 * place that has been silent the longest makes room for a new one. */
struct trail {
	struct trail_call {
		const char *method; /* static */
		struct site at;
		int64_t span_ns;	   /* of the longest of its calls */
		unsigned count;		   /* calls from this place */
		char note[TRAIL_NOTE_MAX]; /* of the last one; "": none */
	} calls[TRAIL_CALLS];
	unsigned n;
};

void trail_reset(struct trail *t);
/* A call that began at started_ns (0: it never did) is over. note says what it
 * was about and what came of it, in one line; NULL: nothing to say. A passive
 * call is a part of another one, and not counted. */
void trail_call_over(struct trail *t, lua_State *L, const char *method,
		     int64_t started_ns, const char *note, bool is_passive);
/* An array of calls as in events, oldest first; owned. */
json_t *trail_calls(const struct trail *t);
/* " in vm:run at x.test.lua:3, and 2 calls more" of such an array; "" of an
 * empty one. Owned. */
char *trail_summary(const json_t *calls);
/* The lines around a line of a file, as text; NULL: unreadable. Owned. */
json_t *trail_source(const char *file, int line);

#endif
