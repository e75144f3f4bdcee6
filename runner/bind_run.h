/* SPDX-License-Identifier: MIT */
/* The forms in which a command may be given, for vm:run, vm:run_async, ... */
#ifndef RUNNER_BIND_RUN_H
#define RUNNER_BIND_RUN_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/mem.h"
#include "streams/exec.h"

struct run_args {
	struct strvec argv;
	struct strvec env;	 /* NAME=VALUE */
	char *command;		 /* for messages */
	char *cwd;		 /* NULL: not given */
	const char *stdin_bytes; /* borrowed from the value at stdin_idx */
	size_t stdin_len;
	bool env_clear;
	bool check;
	int64_t timeout_ns; /* CLOCK_NEVER: not given */
	int idx;	    /* where these stand on the stack, to be kept */
	int stdin_idx;	    /* 0: none */
};

/* Reads the command at idx and the table of options behind it; raises. The
 * result is a value on the stack (a->idx) which Lua releases. is_async: without
 * timeout and check. */
struct run_args *run_args_read(lua_State *L, const char *method, int idx,
			       bool is_async);
/* Borrows all from a. */
struct exec_spec run_args_spec(const struct run_args *a);

void run_args_done(struct run_args *a);

#endif
