/* SPDX-License-Identifier: MIT */
/* Process in Lua: what vm:run_async() answers. */
#ifndef RUNNER_BIND_PROCESS_H
#define RUNNER_BIND_PROCESS_H

#include <lua.h>
#include <stdint.h>

#include "runner/bind.h"
#include "streams/client.h"
#include "streams/stream.h"

extern const struct object_class process_class;

/* For `return`: waits until the process of that handle has exited, and answers
 * its RunResult; a time-out raises and changes nothing. */
int process_await_exit(lua_State *L, const char *method, struct client *c,
		       struct stream_list *streams, uint64_t handle,
		       const char *command, int64_t span_ns);

/* A signal: a number, or a name with or without SIG, in any case. */
int process_arg_signal(lua_State *L, const char *method, int idx,
		       int otherwise);

void bind_process_register(lua_State *L);

#endif
