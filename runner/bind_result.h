/* SPDX-License-Identifier: MIT */
/* RunResult: what became of a command. */
#ifndef RUNNER_BIND_RESULT_H
#define RUNNER_BIND_RESULT_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/buf.h"

struct run_outcome {
	const char *command; /* as messages show it */
	const struct buf *out;
	const struct buf *err_out;
	bool signalled;
	bool timed_out;
	bool is_cut; /* the outputs do not begin with their first bytes */
	int status;  /* exit code, or the signal's number */
	int64_t duration_ns;
};

/* Pushes the plain table with its methods. */
void bind_result_push(lua_State *L, const struct run_outcome *o);
/* What the last calls of a report say of it: the command, its end, and the
 * first line of stderr. Owned. */
char *bind_result_note(const struct run_outcome *o);
/* Raises, as :assert_ok() of the result on top would, but without marking the
 * test, unless it is ok. */
void bind_result_check(lua_State *L, const char *method);

/* Pushes what a failure shows of the outputs: the end of each. */
void bind_result_push_outputs(lua_State *L, const struct buf *out,
			      const struct buf *err_out);
/* Pushes what a failure says of the result on top, which is not ok. */
void bind_result_push_text(lua_State *L);

void bind_result_register(lua_State *L);

#endif
